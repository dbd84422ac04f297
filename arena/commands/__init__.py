"""The subcommands of `manage.py arena`, one module each, imported when it is asked for.

A module has `HELP` (one sentence), `add_arguments(parser)` and `run(options, say)`, which raises `CommandError`,
or `BadFile` or `ValueError` with a message for people.
"""

from collections.abc import Callable

Say = Callable[[str], None]

SUBCOMMANDS = {
    "rate": "arena.commands.rate",
    "stats": "arena.commands.stats",
    "clean": "arena.commands.clean",
    "report": "arena.commands.report",
    "simulate": "arena.commands.simulate",
    "import": "arena.commands.importing",
    "export": "arena.commands.exporting",
    "publish": "arena.commands.publishing",
    "verify": "arena.commands.verifying",
    "recount": "arena.commands.recounting",
}
