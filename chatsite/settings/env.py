"""Typed readers of environment variables.

Each reader returns a value of one type or raises `ImproperlyConfigured` with the variable's name, what it
holds and an example. An unset or empty variable means the default.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE_WORDS = ("true", "1", "yes", "on")
FALSE_WORDS = ("false", "0", "no", "off")


def refuse(name: str, value: str, expected: str, example: str) -> ImproperlyConfigured:
    """The one sentence every bad setting is answered with. Secrets must not be passed as `value`."""
    return ImproperlyConfigured(
        f"{name}={value!r} is not valid: expected {expected}, for example {name}={example}"
    )


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def boolean(name: str, *, default: bool) -> bool:
    value = text(name)
    if not value:
        return default
    if value.lower() in TRUE_WORDS:
        return True
    if value.lower() in FALSE_WORDS:
        return False
    raise refuse(name, value, "'true' or 'false'", "true")


def integer(name: str, default: int, *, minimum: int | None = None, maximum: int | None = None) -> int:
    value = text(name)
    if not value:
        return default
    bounds = f"a whole number{f' of at least {minimum}' if minimum is not None else ''}"
    bounds += f" and at most {maximum}" if maximum is not None else ""
    try:
        number = int(value)
    except ValueError:
        raise refuse(name, value, bounds, str(default)) from None
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise refuse(name, value, bounds, str(default))
    return number


def seconds(name: str, default: float, *, minimum: float = 0.0) -> float:
    return _number(name, default, minimum, "a number of seconds", f"{default:g}")


def minutes(name: str, default: float) -> float:
    return _number(name, default, 0.0, "a number of minutes", "30")


def _number(name: str, default: float, minimum: float, expected: str, example: str) -> float:
    value = text(name)
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        raise refuse(name, value, expected, example) from None
    if not minimum <= number < float("inf"):
        raise refuse(name, value, f"{expected} of at least {minimum:g}", example)
    return number


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list; blanks around the items do not count."""
    value = text(name)
    return [item.strip() for item in value.split(",") if item.strip()] if value else list(default)


def choice(name: str, default: str, options: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in options:
        raise refuse(name, value, f"one of {', '.join(options)}", default)
    return value


def folder(name: str, default: Path) -> Path:
    """An absolute path, `~` expanded. It is not made here: reading settings must not write to the disk."""
    return Path(text(name, str(default))).expanduser().resolve()


def url(name: str, schemes: tuple[str, ...], example: str) -> str:
    """A URL with one of `schemes`, or "" when unset. The value may hold a password, so errors never show it."""
    value = text(name)
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in schemes and bool(parts.hostname or parts.path.strip("/"))
        _ = parts.port  # raises ValueError when it is not a number
    except ValueError:
        valid = False
    if not valid:
        raise refuse(name, "…", f"a URL that starts with {' or '.join(s + '://' for s in schemes)}", example)
    return value
