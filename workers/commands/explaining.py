"""`manage.py models explain`: which prompt format a chat model gets, why, and what it looks like."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NamedTuple

from django.core.management.base import CommandError

from workers import checkpoints, prompt_formats
from workers.chat_template import BadTemplate, ChatTemplate
from workers.checkpoints import BadCheckpoint
from workers.commands.common import Say, facts, find_if_known
from workers.engines.base import EngineError
from workers.locating import locate
from workers.models import ChatModel
from workers.prompt_formats import Choice, PromptFormat, UnknownFormat

HELP = "Which prompt format a chat model gets and why, with a rendered example. Loads no weights."
EXAMPLE = [
    {"role": "user", "content": "Two and two?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And three?"},
]


class Explanation(NamedTuple):
    template: ChatTemplate
    format: PromptFormat | None
    """None for the checkpoint's own template."""
    reason: str


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        help="A chat model of the catalog, a file or folder of weights, or any name, such as lmsys/vicuna-7b-v1.5.",
    )
    parser.add_argument("--template", metavar="FORMAT", default="", help="What if it had this format?")


def run(options: dict[str, Any], say: Say) -> None:
    name = options["name"]
    chat_model = find_if_known(name)
    try:
        found = explain(name, chat_model, wanted=options["template"])
        example = found.template.render(EXAMPLE)
    except (UnknownFormat, BadTemplate, BadCheckpoint) as error:
        raise CommandError(str(error)) from None
    for line in facts(_said(name, chat_model, found)):
        say(line)
    say(f"\nExample (the prompt ends where the model begins):\n\n{example}")


def explain(name: str, chat_model: ChatModel | None, *, wanted: str = "") -> Explanation:
    """As an engine chooses: the operator's word, else the checkpoint's own template, else the name's."""
    by = "--template says so" if wanted else "the catalog says so"
    wanted = wanted or (chat_model.template if chat_model else "")
    checkpoint = chat_model.checkpoint if chat_model else name
    if wanted:
        found = prompt_formats.load(wanted)
        return Explanation(found.template, found, by)
    path = _path(checkpoint)
    if path and (template := checkpoints.own_template(path)):
        return Explanation(template, None, f"{path} brings one")
    base = checkpoints.base_of(path) if path else ""
    choice: Choice = prompt_formats.choose(base, checkpoint, chat_model.name if chat_model else name)
    where = f"{path} brings none, and " if path else "there are no weights here to look at, and "
    return Explanation(choice.format.template, choice.format, where + choice.reason)


def _path(checkpoint: str) -> Path | None:
    try:
        path = locate(checkpoint)
    except EngineError:
        return None
    return path if path.exists() else None


def _said(name: str, chat_model: ChatModel | None, found: Explanation) -> dict[str, object]:
    form = found.format
    return {
        "chat model": chat_model.name if chat_model else f"{name} (not in the catalog)",
        "checkpoint": chat_model.checkpoint if chat_model else "",
        "format": form.name if form else "the checkpoint's own chat template",
        "because": found.reason,
        "style": (form.style or "written out in Jinja") if form else "Jinja",
        "stops at": ", ".join(map(json.dumps, form.stop)) if form else "the checkpoint's end of turn",
        "stop tokens": ", ".join(map(str, form.stop_token_ids)) if form else "",
        "system prompt": form.system if form else "",
    }
