"""`manage.py models formats`."""

from argparse import ArgumentParser
from typing import Any

from workers import prompt_formats
from workers.commands.common import Say, table

HELP = "The prompt formats that come with the product, by name."


def add_arguments(parser: ArgumentParser) -> None:
    """None."""


def run(options: dict[str, Any], say: Say) -> None:
    rows: list[tuple[str, ...]] = [("NAME", "STYLE", "PERSON", "MODEL", "STOP", "SYSTEM PROMPT")]
    for name in prompt_formats.names():
        found = prompt_formats.load(name)
        stop = ", ".join(map(repr, found.stop)) or "-"
        rows.append((name, found.style or "jinja", *map(repr, found.roles), stop, _short(found.system)))
    for line in table(rows):
        say(line)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:39] + "…"
