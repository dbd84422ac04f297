"""Is the new chat model better? Run, read and check evaluations; see docs/evaluation.md."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from evaluation.commands import subcommands
from evaluation.errors import CannotEvaluate


class Command(BaseCommand):
    help = "Let chat models answer a suite of questions, let judges grade the answers, and read the numbers."

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
        for name, module in subcommands().items():
            module.add_arguments(kinds.add_parser(name, help=module.HELP, description=module.HELP))

    def handle(self, *args: object, subcommand: str, **options: Any) -> None:
        try:
            subcommands()[subcommand].handle(self.stdout, options)
        except CannotEvaluate as error:
            raise CommandError(str(error)) from None
