"""The subcommands of `manage.py data`: one module each, with `HELP`, `add_arguments(parser)` and `handle(out,
options)`. To add one, write the module and name it in `MODULES`.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

from django.core.management.base import OutputWrapper

# In the order of the help; a name of two words is a module of two words.
MODULES = {
    "clean": "clean",
    "split": "split",
    "stats": "stats",
    "preview": "preview",
    "convert": "convert",
    "from-arena": "from_arena",
    "identity": "identity",
}


class Subcommand(Protocol):
    HELP: str
    add_arguments: Callable[[ArgumentParser], None]
    handle: Callable[[OutputWrapper, dict[str, Any]], None]
    """Raises `CommandError`, or `FileProblem`, with one sentence."""


def subcommands() -> dict[str, Subcommand]:
    return {
        name: cast("Subcommand", import_module(f"training.commands.{module}"))
        for name, module in MODULES.items()
    }
