"""The catalog of chat models, by command."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError, transaction
from rich.cells import cell_len

from workers.models import ChatModel
from workers.selectors import catalog as selectors
from workers.selectors import fleet
from workers.selectors.fleet import ChatModelView, Fleet, State
from workers.services import catalog, starting

ROW = ("NAME", "STATE", "WORKERS", "SLOTS", "ENGINE", "PUBLISHED", "HOSTED HERE", "DESCRIPTION")


class Command(BaseCommand):
    help = "List, show, add and remove the chat models that people pick by name."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show|add|remove")
        verbs.add_parser("list", help="All chat models, and whether workers serve them.")
        show = verbs.add_parser("show", help="One chat model with all its settings.")
        show.add_argument("name", metavar="NAME")
        _add_options(verbs.add_parser("add", help="Enter a chat model into the catalog."))
        remove = verbs.add_parser("remove", help="Take one out. Conversations stay, with their text.")
        remove.add_argument("name", metavar="NAME")
        remove.add_argument("--yes", action="store_true", help="Do not ask back.")

    def handle(self, *args: object, verb: str, **options: Any) -> None:
        verbs: dict[str, Callable[[dict[str, Any]], None]] = {
            "list": self._list,
            "show": self._show,
            "add": self._add,
            "remove": self._remove,
        }
        try:
            verbs[verb](options)
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The catalog cannot be read ({str(error).strip()}). `manage.py migrate` or bin/up prepares the "
                "database; CHATSITE_DATA and DATABASE_URL say which one it is."
            ) from None

    def _list(self, options: dict[str, Any]) -> None:
        now = self._fleet()
        rows = [_row(chat_model, now) for chat_model in ChatModel.objects.all()]
        known = {row[0] for row in rows}
        for name in now.chat_model_names():
            if name not in known and now.hosts(name):
                view = now.chat_model(name)
                rows.append((name, view.state, str(view.workers), str(view.slots), "", "not yet", "", ""))
        if not rows:
            self.stdout.write(
                "The catalog is empty. `manage.py models add NAME --checkpoint FILE.gguf` fills it."
            )
            return
        for line in _table([ROW, *rows]):
            self.stdout.write(line)

    def _show(self, options: dict[str, Any]) -> None:
        chat_model = _find(options["name"])
        view = self._fleet().chat_model(chat_model.name)
        facts = {
            "name": chat_model.name,
            "state": _state_in_words(view),
            "description": chat_model.description,
            "engine": chat_model.engine,
            "checkpoint": chat_model.checkpoint,
            "licence": chat_model.licence,
            "slots": chat_model.slots,
            "context": chat_model.context_length or "what the checkpoint was made for",
            "temperature": chat_model.temperature,
            "top-p": chat_model.top_p,
            "system prompt": chat_model.system_prompt,
            "published": "yes" if chat_model.published else "no",
            "hosted here": "yes" if chat_model.hosted_here else "no",
            "conversations": chat_model.conversations.count(),
        }
        width = max(map(len, facts))
        for name, value in facts.items():
            self.stdout.write(f"{name:<{width}}  {value if value != '' else '-'}")

    def _add(self, options: dict[str, Any]) -> None:
        values = {field: options[field] for field in _FIELDS if options[field] is not None}
        try:
            with transaction.atomic():
                chat_model = catalog.add(**values, published=options["publish"])
                if chat_model.hosted_here:  # else the next start of bin/up would fail over it
                    starting.chat_models_to_host(names=[chat_model.name])
        except ValidationError as error:
            raise CommandError(_in_words(error)) from None
        except starting.CannotHost as error:
            raise CommandError(f"--checkpoint: {error}") from None
        self.stdout.write(f"{chat_model.name} is in the catalog.")
        if chat_model.hosted_here:
            self.stdout.write("The next start of bin/up hosts it.")
        else:
            self.stdout.write(f"`manage.py worker --model {chat_model.name}` starts a worker for it.")

    def _remove(self, options: dict[str, Any]) -> None:
        chat_model = _find(options["name"])
        if workers := self._fleet().hosts(chat_model.name):
            raise CommandError(
                f"{chat_model.name} is served by {', '.join(workers)}, which would bring it back at once. Stop that "
                "first; or hide the chat model from people: uncheck “published” in the admin."
            )
        if not options["yes"]:
            self._ask_back(chat_model)
        name = chat_model.name
        conversations = catalog.remove(chat_model=chat_model)
        self.stdout.write(f"{name} is removed. {catalog.what_stays(conversations)}".strip())

    def _ask_back(self, chat_model: ChatModel) -> None:
        if not sys.stdin.isatty():
            raise CommandError(f"Say that you mean it: manage.py models remove {chat_model.name} --yes")
        self.stdout.write(catalog.what_stays(chat_model.conversations.count()))
        if input(f"Remove {chat_model.name} from the catalog? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was removed.")

    def _fleet(self) -> Fleet:
        now = fleet.current()
        if not now.reachable:
            self.stderr.write("The broker does not answer, so the states are unknown. bin/up starts it.")
        return now


def _add_options(parser: Any) -> None:
    parser.add_argument("name", metavar="NAME", help="The name people and the API use.")
    parser.add_argument("--engine", choices=ChatModel.Engine.values, help="Default: llama_cpp.")
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="GGUF file on the worker's machine, package:NAME/FILE, or a script for the scripted engine.",
    )
    parser.add_argument("--slots", type=_whole, metavar="N", help="Requests one worker works on at once.")
    parser.add_argument(
        "--context", type=_whole, dest="context_length", metavar="TOKENS", help="Shared by all slots."
    )
    parser.add_argument("--description", metavar="TEXT", help="Shown in the model picker.")
    parser.add_argument("--licence", metavar="NAME", help="For example Apache-2.0.")
    parser.add_argument(
        "--system", dest="system_prompt", metavar="TEXT", help="System prompt where a talk brings none."
    )
    parser.add_argument("--temperature", type=float, metavar="T", help="0 to 2.")
    parser.add_argument("--top-p", type=float, metavar="P", help="0 to 1.")
    parser.add_argument(
        "--hosted-here", action="store_true", default=None, help="bin/up starts a worker for it here."
    )
    parser.add_argument(
        "--no-publish", action="store_false", dest="publish", help="Do not show it to people yet."
    )


_FIELDS = (
    "name",
    "engine",
    "checkpoint",
    "slots",
    "context_length",
    "description",
    "licence",
    "system_prompt",
    "temperature",
    "top_p",
    "hosted_here",
)
_OPTION_OF_FIELD = {
    "name": "NAME",
    "context_length": "--context",
    "system_prompt": "--system",
    "top_p": "--top-p",
}


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _find(name: str) -> ChatModel:
    if chat_model := selectors.find(name=name):
        return chat_model
    known = ", ".join(ChatModel.objects.values_list("name", flat=True)) or "it is empty"
    raise CommandError(f"The catalog has no chat model {name!r} ({known}).")


def _in_words(error: ValidationError) -> str:
    """Each field's mistake on a line, under the option's name."""
    return "\n".join(
        f"{_OPTION_OF_FIELD.get(field, '--' + field)}: {' '.join(messages)}"
        for field, messages in error.message_dict.items()
    )


def _row(chat_model: ChatModel, now: Fleet) -> tuple[str, ...]:
    view = now.chat_model(chat_model.name)
    return (
        chat_model.name,
        view.state,
        str(view.workers),
        str(view.slots if view.state is State.READY else chat_model.slots),
        chat_model.engine,
        "yes" if chat_model.published else "no",
        "yes" if chat_model.hosted_here else "no",
        chat_model.description,
    )


def _state_in_words(view: ChatModelView) -> str:
    if view.state in (State.OFFLINE, State.UNKNOWN):
        return str(view.state)
    return (
        f"{view.state} ({view.workers} worker{'s' if view.workers != 1 else ''}, {view.slots} slots, "
        f"{view.running} running, {view.waiting} waiting)"
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell; a Chinese sign is two cells wide."""
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
