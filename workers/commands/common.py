"""What the subcommands share: finding a chat model, the fleet's state, mistakes and tables in words."""

import sys
from typing import Protocol

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError
from rich.cells import cell_len

from workers.models import ChatModel
from workers.selectors import catalog as selectors
from workers.selectors import fleet
from workers.selectors.fleet import Fleet


class Say(Protocol):
    def __call__(self, text: str, /, ending: str | None = None) -> None:
        """Print a line, or a text that ends with `ending`."""


OPTION_OF_FIELD = {
    "name": "NAME",
    "context_length": "--context",
    "system_prompt": "--system",
    "top_p": "--top-p",
}


def find(name: str) -> ChatModel:
    """By name or alias."""
    if chat_model := selectors.find(name=name):
        return chat_model
    known = ", ".join(ChatModel.objects.values_list("name", flat=True)) or "it is empty"
    raise CommandError(f"The catalog has no chat model {name!r} ({known}).")


def find_if_known(name: str) -> ChatModel | None:
    """None also where there is no catalog: on a machine without a database."""
    try:
        return selectors.find(name=name)
    except DatabaseError:
        return None


def fleet_now() -> Fleet:
    now = fleet.current()
    if not now.reachable:
        sys.stderr.write("The broker does not answer, so the states are unknown. bin/up starts it.\n")
    return now


def in_words(error: ValidationError) -> str:
    """Each field's mistake on a line, under the option's name."""
    return "\n".join(
        f"{OPTION_OF_FIELD.get(field, '--' + field)}: {' '.join(messages)}"
        for field, messages in error.message_dict.items()
    )


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell; a Chinese sign is two cells wide."""
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def facts(values: dict[str, object]) -> list[str]:
    """Names and values in two columns; a dash where there is nothing to say."""
    width = max(map(len, values))
    return [f"{name:<{width}}  {value if value != '' else '-'}" for name, value in values.items()]


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
