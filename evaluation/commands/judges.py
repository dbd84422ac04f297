"""`manage.py evaluate judges`."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, OutputWrapper

from evaluation.errors import CannotEvaluate
from evaluation.models import Judge
from evaluation.services import judges

HELP = "List the judges and whether each could judge now; add one behind an OpenAI-compatible API."
FIELDS = (
    "model",
    "base_url",
    "key_variable",
    "temperature",
    "max_tokens",
    "concurrency",
    "prompt_price",
    "completion_price",
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--add", default="", metavar="NAME")
    parser.add_argument("--model", help="The name that the API knows, or the catalog.")
    parser.add_argument("--base-url", help="For example https://api.openai.com/v1")
    parser.add_argument("--key-variable", help="The environment variable that holds the API key.")
    parser.add_argument("--structured", action="store_true", help="It honours a JSON schema.")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--prompt-price", type=float, help="Per million tokens.")
    parser.add_argument("--completion-price", type=float, help="Per million tokens.")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    if options["add"]:
        _add(options)
    for judge in Judge.objects.all():
        where = judge.base_url or "the catalog"
        out.write(f"{judge.name}  ({judge.model}, {where})  {_state(judge)}")


def _add(options: dict[str, Any]) -> None:
    values = {name: options[name] for name in FIELDS if options[name] is not None}
    values.setdefault("model", options["add"])
    try:
        judges.add(name=options["add"], structured=options["structured"], **values)
    except ValidationError as error:
        lines = [f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items()]
        raise CommandError("; ".join(lines)) from None


def _state(judge: Judge) -> str:
    try:
        judges.check(judge=judge)
    except CannotEvaluate as error:
        return str(error)
    return "ready"
