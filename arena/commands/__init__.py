"""The subcommands of `manage.py arena`, one module each, imported when it is asked for.

A module has `HELP` (one sentence), `add_arguments(parser)` and `run(options, say)`, which raises `CommandError`.
"""

SUBCOMMANDS = {
    "import": "arena.commands.importing",
    "export": "arena.commands.exporting",
    "publish": "arena.commands.publishing",
    "verify": "arena.commands.verifying",
    "recount": "arena.commands.recounting",
}
