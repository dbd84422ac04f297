"""The catalog of chat models, by command. Each subcommand is a module of `workers.commands`."""

from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError

from workers.commands import SUBCOMMANDS


class Command(BaseCommand):
    help = "The chat models that people pick by name, their weights and their prompt formats."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="|".join(SUBCOMMANDS))
        for name, path in SUBCOMMANDS.items():
            module = import_module(path)
            module.add_arguments(verbs.add_parser(name, help=module.HELP, description=module.HELP))

    def handle(self, *args: object, verb: str, **options: Any) -> None:
        try:
            import_module(SUBCOMMANDS[verb]).run(options, self._say)
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The catalog cannot be read ({str(error).strip()}). `manage.py migrate` or bin/up prepares the "
                "database; CHATSITE_DATA and DATABASE_URL say which one it is."
            ) from None

    def _say(self, text: str, ending: str | None = None) -> None:
        self.stdout.write(text, ending=ending)
