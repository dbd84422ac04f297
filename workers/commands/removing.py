"""`manage.py models remove`."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from workers.commands.common import Say, find, fleet_now
from workers.models import ChatModel
from workers.services import catalog

HELP = "Take one out. Conversations stay, with their text."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--yes", action="store_true", help="Do not ask back.")


def run(options: dict[str, Any], say: Say) -> None:
    chat_model = find(options["name"])
    if workers := fleet_now().hosts(chat_model.name):
        raise CommandError(
            f"{chat_model.name} is served by {', '.join(workers)}, which would bring it back at once. Stop that "
            "first; or hide the chat model from people: uncheck “published” in the admin."
        )
    if not options["yes"]:
        _ask_back(chat_model, say)
    name = chat_model.name
    conversations = catalog.remove(chat_model=chat_model)
    say(f"{name} is removed. {catalog.what_stays(conversations)}".strip())


def _ask_back(chat_model: ChatModel, say: Say) -> None:
    if not sys.stdin.isatty():
        raise CommandError(f"Say that you mean it: manage.py models remove {chat_model.name} --yes")
    say(catalog.what_stays(chat_model.conversations.count()))
    if input(f"Remove {chat_model.name} from the catalog? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was removed.")
