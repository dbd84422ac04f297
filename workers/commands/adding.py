"""`manage.py models add`."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import transaction

from workers.commands.common import Say, in_words
from workers.engine_settings import engine_of, read_options
from workers.engines.base import EngineError
from workers.models import ChatModel
from workers.services import catalog, starting
from workers.terminal.engine_options import add_engine_options, engine_options

HELP = "Enter a chat model into the catalog."
FIELDS = (
    "name",
    "engine",
    "checkpoint",
    "template",
    "slots",
    "context_length",
    "description",
    "licence",
    "system_prompt",
    "temperature",
    "top_p",
    "hosted_here",
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="The name people and the API use.")
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="GGUF file on the worker's machine, package:NAME/FILE, a folder, or a script for the scripted engine.",
    )
    add_settings(parser)


def add_settings(parser: ArgumentParser) -> None:
    """All but where the weights are."""
    parser.add_argument(
        "--engine", choices=ChatModel.Engine.values, help="Default: what the checkpoint looks like."
    )
    parser.add_argument(
        "--template",
        metavar="FORMAT",
        help="Prompt format by name or file (see `models formats`); default: the checkpoint's own.",
    )
    parser.add_argument(
        "--alias",
        action="append",
        default=[],
        dest="aliases",
        metavar="NAME",
        help="Another name that the API takes; may be given again.",
    )
    parser.add_argument("--slots", type=whole, metavar="N", help="Requests one worker works on at once.")
    parser.add_argument(
        "--context", type=whole, dest="context_length", metavar="TOKENS", help="Shared by all slots."
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
    add_engine_options(parser)


def run(options: dict[str, Any], say: Say) -> None:
    values = {field: options[field] for field in FIELDS if options[field] is not None}
    if options["engine"] is None and options["checkpoint"] is not None:
        values["engine"] = engine_of(options["checkpoint"])
    values["engine_options"] = _engine_options(options, values.get("engine", "llama_cpp"))
    if ChatModel.objects.filter(name=options["name"]).exists():
        raise CommandError(
            f"NAME: the catalog has {options['name']} already; `manage.py models show` says what it is. "
            "Change it in the admin, or remove it first."
        )
    try:
        with transaction.atomic():
            chat_model = catalog.add(**values, published=options["publish"])
            if options["aliases"]:
                catalog.set_aliases(chat_model=chat_model, names=options["aliases"])
            if chat_model.hosted_here:  # else the next start of bin/up would fail over it
                starting.chat_models_to_host(names=[chat_model.name])
    except ValidationError as error:
        raise CommandError(in_words(error)) from None
    except starting.CannotHost as error:
        raise CommandError(f"--checkpoint: {error}") from None
    say(f"{chat_model.name} is in the catalog.")
    if chat_model.hosted_here:
        say("The next start of bin/up hosts it.")
    else:
        say(f"`manage.py worker --model {chat_model.name}` starts a worker for it.")
        if absent := _not_here(chat_model.checkpoint):
            say(f"There is no {absent} on this machine: start the worker on one that has it.")


def _engine_options(options: dict[str, Any], engine: str) -> dict[str, Any]:
    try:
        given = engine_options(options, engine)
        read_options(engine, given)
    except EngineError as error:
        raise CommandError(str(error)) from None
    return given


def _not_here(checkpoint: str) -> str:
    """The file that the checkpoint names by its whole path and that is missing, or ""."""
    path = Path(checkpoint)
    return checkpoint if path.is_absolute() and not path.exists() else ""


def whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)
