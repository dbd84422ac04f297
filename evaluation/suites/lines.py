"""A file's objects, one a line, whether they came as JSON lines or as one JSON list."""

import json
import re
from collections.abc import Iterator

from evaluation.formats.jsonl import FormatError

BETWEEN = re.compile(r"[\s,]*")


def as_lines(text: str, source: str) -> list[str]:
    """JSON lines as they are; of a JSON list each object in the line where it begins, so that messages still fit.

    Where several objects share a line, the n-th object is in line n instead.
    """
    text = text.removeprefix("\ufeff")
    if not text.lstrip().startswith("["):
        # Not splitlines(): an unescaped U+2028 within a text is valid JSON and no end of a line.
        return text.split("\n")
    found = list(_objects(text, source))
    numbers = [number for number, _ in found]
    if len(set(numbers)) < len(numbers):
        return [said for _, said in found]
    lines = [""] * (text.count("\n") + 1)
    for number, said in found:
        lines[number] = said
    return lines


def _objects(text: str, source: str) -> Iterator[tuple[int, str]]:
    """(line from 0, the object in one line)"""
    decoder = json.JSONDecoder()
    number, counted, position = 0, 0, text.index("[") + 1
    while True:
        position = _after(text, position)
        number, counted = number + text.count("\n", counted, position), position
        if text[position : position + 1] == "]":
            return
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise FormatError(source, number + 1, f"this is not a JSON list of objects ({error})") from None
        yield number, json.dumps(value)


def _after(text: str, position: int) -> int:
    match = BETWEEN.match(text, position)
    return match.end() if match else position
