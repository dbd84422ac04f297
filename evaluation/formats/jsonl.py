"""JSON lines, with the place of every mistake."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class FormatError(ValueError):
    """A line that cannot be used; the text begins with where it is."""

    def __init__(self, source: str, line: int, problem: str):
        super().__init__(f"{source}, line {line}: {problem}")
        self.source, self.line = source, line


class Row:
    """One object of a file. Takes note of which fields were asked for, so that `rest` is what nobody knew."""

    def __init__(self, source: str, line: int, values: Mapping[str, Any]):
        self._source, self._line = source, line
        self._values = dict(values)

    def error(self, problem: str) -> FormatError:
        return FormatError(self._source, self._line, problem)

    def take(self, name: str, kinds: type | tuple[type, ...], expected: str) -> Any:
        """The field's value. Raises `FormatError` when it is missing or is not `expected` (for people)."""
        if name not in self._values:
            raise self.error(f"the field {name} is missing; it must be {expected}")
        value = self._values.pop(name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise self.error(f"{name} is {json.dumps(value)[:60]}; it must be {expected}")
        return value

    def take_texts(self, name: str, expected: str) -> tuple[str, ...]:
        value = self.take(name, list, expected)
        if not value or not all(isinstance(text, str) for text in value):
            raise self.error(f"{name} must be {expected}")
        return tuple(value)

    def has(self, name: str) -> bool:
        return name in self._values

    @property
    def rest(self) -> dict[str, object]:
        """The fields that were not taken."""
        return self._values


def rows(lines: Iterable[str], source: str) -> Iterator[Row]:
    """The objects of a file's lines; empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise FormatError(source, number, f"this is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise FormatError(source, number, "this is not a JSON object")
        yield Row(source, number, values)


def line(values: Mapping[str, object]) -> str:
    """One line without its end, as FastChat writes it (json.dumps as it is)."""
    return json.dumps(values)
