"""`manage.py arena SUBCOMMAND`. Each subcommand is a module of `arena.commands`."""

from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from arena.battle_files.rows import BadFile
from arena.commands import SUBCOMMANDS


class Command(BaseCommand):
    help = "Votes and ratings. rate, stats and clean work on files alone; the rest is about this site."

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="subcommand", required=True)
        for name, path in SUBCOMMANDS.items():
            module = import_module(path)
            module.add_arguments(kinds.add_parser(name, help=module.HELP, description=module.HELP))

    def handle(self, *args: object, subcommand: str, **options: Any) -> None:
        try:
            import_module(SUBCOMMANDS[subcommand]).run(options, self._say)
        except (BadFile, ValueError) as error:
            raise CommandError(str(error)) from error

    def _say(self, text: str) -> None:
        self.stdout.write(text)
