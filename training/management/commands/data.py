"""Training data: clean it, part it, look at it; see docs/training-data.md."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.commands import subcommands
from training.files import FileProblem


class Command(BaseCommand):
    help = "Clean, split, convert and look at training data, or draw it from the arena's votes."

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
        for name, module in subcommands().items():
            module.add_arguments(kinds.add_parser(name, help=module.HELP, description=module.HELP))

    def handle(self, *args: object, subcommand: str, **options: Any) -> None:
        try:
            subcommands()[subcommand].handle(self.stdout, options)
        except FileProblem as error:
            raise CommandError(str(error)) from None
