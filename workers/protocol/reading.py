"""JSON into frozen dataclasses, driven by their annotations.

Unknown keys are ignored, so that a newer sender can talk to an older reader; a missing or mistyped one raises
`ProtocolError`. Its messages name fields and no values: those may be a person's words.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ProtocolError(ValueError):
    """A message from another process does not have the agreed shape."""


class Mistyped(Exception):  # noqa: N818 - turned into a `ProtocolError` that names the field
    """A value of another type than the field's."""


class _Field(NamedTuple):
    hint: Any
    required: bool


def compact(data: Mapping[str, Any]) -> str:
    """JSON that the broker can keep."""
    # JSON may hold half of a surrogate pair ("\ud83d"), which UTF-8 and therefore the broker cannot.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace").decode()


def json_object(text: str | bytes) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:  # its text may quote what is in there
        raise ProtocolError("not JSON") from None
    if not isinstance(data, dict):
        raise ProtocolError("not a JSON object")
    return data


def read(cls: type[T], data: Any) -> T:
    """Make a `cls` of what `data` holds for its fields, each checked for its type, nested ones included."""
    if not isinstance(data, Mapping):
        raise ProtocolError(f"not a {cls.__name__}")
    known: dict[str, _Field] = _fields(cls)  # type: ignore[arg-type]  # mypy: type[T] might not be hashable
    absent = [name for name, field in known.items() if field.required and name not in data]
    if absent:
        raise ProtocolError(f"a {cls.__name__} lacks {', '.join(map(repr, sorted(absent)))}")
    values = {}
    for name in known.keys() & data.keys():
        try:
            values[name] = _value(known[name].hint, data[name])
        except Mistyped:
            raise ProtocolError(f"{cls.__name__}.{name} is mistyped") from None
    return cls(**values)


def _value(hint: Any, value: Any) -> Any:
    """`value` as what `hint` says: a scalar, an enum, a Literal, a dataclass, a tuple of those, or a union."""
    origin = get_origin(hint)
    if origin in {UnionType, Union}:
        return _first_that_fits(get_args(hint), value)
    if origin is tuple:
        return _tuple(get_args(hint), value)
    if origin is Literal:
        if isinstance(value, str) and value in get_args(hint):
            return value
        raise Mistyped
    if is_dataclass(hint):
        return read(hint, value)  # type: ignore[arg-type]  # is_dataclass does not say that it is a class
    if issubclass(hint, StrEnum):
        if isinstance(value, str) and value in set(hint):
            return hint(value)
        raise Mistyped
    return _scalar(hint, value)


def _scalar(kind: type, value: Any) -> Any:
    # A whole number may have lost its ".0" on the way; True and False are no numbers.
    number = kind is float and isinstance(value, int)
    if isinstance(value, bool) is (kind is bool) and (isinstance(value, kind) or number):
        return float(value) if number else value
    raise Mistyped


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise Mistyped
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_value(kinds[0], item) for item in value)
    if len(kinds) != len(value):
        raise Mistyped
    return tuple(_value(kind, item) for kind, item in zip(kinds, value, strict=True))


def _first_that_fits(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        try:
            return _value(kind, value)
        except Mistyped:
            continue
    raise Mistyped


@cache
def _fields(cls: Any) -> dict[str, _Field]:
    """Field name → its type, and whether a sender must name it.

    A part that is an object of its own (`usage`) is always sent, also where a default exists for callers.
    """
    hints = get_type_hints(cls)
    return {
        field.name: _Field(
            hints[field.name],
            is_dataclass(hints[field.name])
            or (field.default is MISSING and field.default_factory is MISSING),
        )
        for field in fields(cls)
    }
