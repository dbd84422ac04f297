"""`manage.py models alias`."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from workers.commands.common import Say, find, in_words
from workers.services import catalog

HELP = "Let a chat model go by other names too: exactly those that are given, none takes all away."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("aliases", nargs="*", metavar="ALIAS")


def run(options: dict[str, Any], say: Say) -> None:
    chat_model = find(options["name"])
    try:
        catalog.set_aliases(chat_model=chat_model, names=options["aliases"])
    except ValidationError as error:
        raise CommandError(in_words(error).replace("NAME:", "ALIAS:")) from None
    names = ", ".join(options["aliases"])
    say(f"{chat_model.name} goes by {names} too." if names else f"{chat_model.name} has no other names.")
