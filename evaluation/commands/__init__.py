"""The subcommands of `manage.py evaluate`: one module each, with `HELP`, `add_arguments(parser)` and
`handle(out, options)`. To add one, write the module and name it in `MODULES`.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

from django.core.management.base import OutputWrapper

# In the order of the help.
MODULES = (
    "run",
    "list",
    "cancel",
    "judges",
    "gate",
    "verify",
    "report",
    "import",
    "export",
    "show",
    "agreement",
    "suites",
    "references",
    "harness",
)


class Subcommand(Protocol):
    HELP: str
    add_arguments: Callable[[ArgumentParser], None]
    handle: Callable[[OutputWrapper, dict[str, Any]], None]
    """Raises `CommandError` with one sentence; its `returncode` is the exit status."""


def subcommands() -> dict[str, Subcommand]:
    return {name: cast("Subcommand", import_module(f"evaluation.commands.{name}")) for name in MODULES}
