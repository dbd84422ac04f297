"""Reads values out of a request's JSON and names the exact place of what is wrong with them.

Written by hand: Django REST framework's serializers report nested lists of errors instead of one path, coerce ("0.5" is
a number to them, true an integer) and take milliseconds for a long conversation; pydantic would be a heavy dependency
of the core for a hundred lines. Knows types and bounds, no endpoint.
"""

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

from workers.api.errors import InvalidParameter

LONGEST_MODEL: Final = 200  # characters of a chat model's name, wherever one is asked for


class Whole(TypedDict):
    """Bounds of a whole number, both inclusive; JSON Schema has the same words."""

    minimum: int
    maximum: int


class Bounds(TypedDict):
    """Bounds of a number, both inclusive."""

    minimum: float
    maximum: float


class Fields:
    """The keys of one JSON object. A key that is absent or null reads as None, as in OpenAI's API."""

    def __init__(self, data: Any, path: str = "") -> None:
        if not isinstance(data, dict):
            raise InvalidParameter(path, f"must be an object, not {kind(data)}.", code="invalid_type")
        self._data: Mapping[str, Any] = data
        self._path = path

    def param(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def get(self, name: str) -> Any:
        return self._data.get(name)

    def get_or(self, name: str, default: Any) -> Any:
        """`default` for what is absent or null; an empty object in the place of a list stays one, and is refused."""
        value = self._data.get(name)
        return default if value is None else value

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Raise for the first key that is not in `known`: a misspelt parameter must not be ignored."""
        known = frozenset(known)
        for name in self._data:
            if name in known:
                continue
            close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.75)
            hint = f"Did you mean '{self.param(close[0])}'?" if close else "Leave it out."
            shown = self.param(printable(name))
            raise InvalidParameter(shown, f"is not a parameter here. {hint}", code="unknown_parameter")

    def required(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise InvalidParameter(self.param(name), "is required.", code="missing_required_parameter")
        return value

    def check_type(self, name: str, wanted: type) -> None:
        """Check a value that is not used any further."""
        value = self.get(name)
        if value is not None and not isinstance(value, wanted):
            raise _mistyped(self.param(name), kind(wanted()), value)

    def text(self, name: str, *, longest: int | None = None) -> str | None:
        value = self.get(name)
        return None if value is None else text(value, self.param(name), longest=longest)

    def boolean(self, name: str, *, default: bool = False) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise _mistyped(self.param(name), "true or false", value)
        return value

    def integer(self, name: str, *, minimum: int, maximum: int) -> int | None:
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            shown = "one with a decimal point" if isinstance(value, float) else kind(value)
            raise InvalidParameter(
                self.param(name), f"must be a whole number, not {shown}.", code="invalid_type"
            )
        return int(self._bounded(name, value, minimum, maximum))

    def number(self, name: str, *, minimum: float, maximum: float) -> float | None:
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _mistyped(self.param(name), "a number", value)
        return float(self._bounded(name, value, minimum, maximum))

    def _bounded(self, name: str, value: float, minimum: float, maximum: float) -> float:
        if not minimum <= value <= maximum or (isinstance(value, float) and math.isnan(value)):
            raise InvalidParameter(self.param(name), f"must be at least {minimum} and at most {maximum}.")
        return value


def neutral_only(fields: Fields, table: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse each parameter of `table` that asks for something; its tuple has the values that do not."""
    for name, neutral in table.items():
        value = fields.get(name)
        # The type as well, because in Python 0 equals false.
        if value is None or any(type(value) is type(other) and value == other for other in neutral):
            continue
        allowed = f" or set it to {' or '.join(map(json.dumps, neutral))}" if neutral else ""
        raise InvalidParameter(
            fields.param(name), f"is not supported here. Leave it out{allowed}.", code="unsupported_parameter"
        )


def text(value: Any, param: str, *, longest: int | None = None) -> str:
    """`value` if it is a string that can be stored and sent on."""
    if not isinstance(value, str):
        raise _mistyped(param, "a string", value)
    if longest is not None and len(value) > longest:
        raise InvalidParameter(
            param, f"must have at most {longest} characters.", code="string_above_max_length"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        # JSON can spell half of a surrogate pair ("\\ud83d"), which is no character and has no UTF-8 form.
        raise InvalidParameter(param, f"holds half a surrogate pair at character {error.start}.") from None
    return value


def items(value: Any, param: str, *, fewest: int = 0, most: int, wanted: str = "a list") -> list[Any]:
    """`wanted`: what the value may be besides a list, in a refusal's words."""
    if not isinstance(value, list):
        raise _mistyped(param, wanted, value)
    if len(value) < fewest:
        raise InvalidParameter(param, f"must have at least {fewest} item.", code="array_below_min_length")
    if len(value) > most:
        raise InvalidParameter(param, f"must have at most {most} items.", code="array_above_max_length")
    return value


def kind(value: Any) -> str:
    """The JSON name of a value's type, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


def printable(name: str) -> str:
    """A key of the caller's, fit to be quoted in an error."""
    return "".join(character if character.isprintable() else "?" for character in name[:100])


def _mistyped(param: str, wanted: str, value: Any) -> InvalidParameter:
    return InvalidParameter(param, f"must be {wanted}, not {kind(value)}.", code="invalid_type")
