"""`manage.py models render`: the exact prompt that a format makes of some messages."""

import io
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from workers import prompt_formats
from workers.chat_template import BadTemplate, ChatTemplate
from workers.checkpoints import BadCheckpoint
from workers.commands.common import Say, find_if_known
from workers.commands.explaining import explain
from workers.prompt_formats import UnknownFormat

HELP = "Print the exact prompt of some messages, and nothing else. An empty last turn of the assistant is left open."
ROLES = ("system", "developer", "user", "assistant", "tool")


class BadMessages(ValueError):  # noqa: N818 - reads as what happened
    """The file holds no messages. One sentence that names the first that is none."""


def add_arguments(parser: ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--template", metavar="FORMAT", help="Prompt format by name or file.")
    which.add_argument("--model", metavar="NAME", help="The format that this chat model gets.")
    parser.add_argument(
        "--messages",
        required=True,
        metavar="FILE.json",
        help='JSON: [{"role": "user", "content": "…"}, …], or a conversation that FastChat saved; - is standard input.',
    )
    parser.add_argument(
        "--image-marker",
        metavar="TEXT",
        help="Stands for each image of a message; FastChat's is $$<image>$$.",
    )


def run(options: dict[str, Any], say: Say) -> None:
    try:
        template, roles = _template(options)
        messages = read_messages(_read(options["messages"]), roles)
        is_open = bool(messages) and messages[-1]["role"] == "assistant" and not messages[-1]["content"]
        variables = {"image_marker": options["image_marker"]} if options["image_marker"] else {}
        prompt = template.render(
            messages[:-1] if is_open else messages, add_generation_prompt=is_open, **variables
        )
    except (UnknownFormat, BadTemplate, BadCheckpoint) as error:
        raise CommandError(str(error)) from None
    except (OSError, BadMessages, UnicodeDecodeError) as error:
        raise CommandError(f"--messages: {error}") from None
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the console's encoding: a prompt is UTF-8
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    say(prompt, ending="")  # as it is, to the last blank


def _template(options: dict[str, Any]) -> tuple[ChatTemplate, tuple[str, str]]:
    if options["template"]:
        found = prompt_formats.load(options["template"])
        return found.template, found.roles
    name = options["model"]
    explained = explain(name, find_if_known(name))
    return explained.template, explained.format.roles if explained.format else ("user", "assistant")


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.buffer.read().decode()
    return Path(file).expanduser().read_text(encoding="utf-8")


def read_messages(text: str, roles: tuple[str, str]) -> list[dict[str, Any]]:
    """Messages as OpenAI's API has them, of such a list or of FastChat's pairs. Raises `BadMessages`.

    `roles` are the names of the person's and the model's turns in pairs.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadMessages(f"this is not JSON ({error}).") from None
    head: list[dict[str, Any]] = []
    if isinstance(data, dict):
        if data.get("system_message"):
            head = [{"role": "system", "content": data["system_message"]}]
        match data.get("roles"):
            case [str(person), str(model), *_]:
                roles = (person, model)
        offset = data.get("offset") or 0
        data = data.get("messages")
        # The first `offset` of FastChat's are the format's own examples.
        data = data[offset:] if isinstance(data, list) and isinstance(offset, int) else data
    if not isinstance(data, list):
        raise BadMessages("it must be a list of messages, or an object with such a list under “messages”.")
    return [*head, *(_message(entry, number, roles) for number, entry in enumerate(data, start=1))]


def _message(entry: Any, number: int, roles: tuple[str, str]) -> dict[str, Any]:
    match entry:
        case {"role": str(role), **rest} if role in ROLES and _is_content(rest.get("content")):
            return {**entry, "content": rest.get("content") or ""}
        case [str(role), text] if role in roles or role in ROLES:
            if text is None or isinstance(text, str):
                role = dict(zip(roles, ("user", "assistant"), strict=True)).get(role, role)
                return {"role": role, "content": text or ""}
    raise BadMessages(
        f"message {number} must be an object with a role ({', '.join(ROLES)}) and a content, or a pair of both."
    )


def _is_content(content: Any) -> bool:
    parts = isinstance(content, list) and all(isinstance(part, dict) for part in content)
    return content is None or isinstance(content, str) or parts
