"""Reads what a chat model's checkpoint says about its server."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from workers.engine_settings.errors import EngineError
from workers.engine_settings.presets import ANY, PRESETS, Quirk
from workers.protocol import Ability

E = TypeVar("E", bound=StrEnum)

# A catalog entry names a variable of the worker's environment and an address to send it to. With any name allowed, who
# may edit the catalog could have every secret of that environment sent anywhere.
OWN_KEY = re.compile(r"^CHATSITE_UPSTREAM_KEY(_[A-Z0-9_]+)?$")
HOW = (
    "Write PRESET:MODEL, for example vllm:Qwen/Qwen3-8B or openai:gpt-5-mini, or an address: "
    "http://host:8000/v1#MODEL."
)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One model of one server."""

    base_url: str
    """Without a slash at its end; "" when `--launch` will tell it."""
    model: str
    """Its name there."""
    key_variable: str
    quirks: frozenset[Quirk]
    abilities: tuple[Ability, ...]
    title: str
    context_length: int = 0
    """Tokens; 0 asks the server."""


def read_address(checkpoint: str, *, launched: bool = False) -> Upstream:
    """`PRESET:MODEL[?options]` or `URL[?options]#MODEL`; options after `?`:

    * `base_url`: where the preset's server listens, if elsewhere
    * `key`: the environment variable of its key: the preset's, or one that begins with `CHATSITE_UPSTREAM_KEY`
    * `abilities`: `vision,-logprobs` adds and takes away
    * `quirks`: the same for quirks
    * `context`: context length in tokens

    Raises `EngineError` naming what is wrong.
    """
    if checkpoint.startswith(("http://", "https://")):
        return _of_url(checkpoint)
    name, colon, rest = checkpoint.partition(":")
    preset = PRESETS.get(name)
    if preset is None or not colon:
        raise EngineError(
            f"{checkpoint!r}: no server is known by that name. {HOW} Known: {', '.join(PRESETS)}."
        )
    model, _, query = rest.partition("?")
    if not model:
        raise EngineError(f"{checkpoint!r} names no model. {HOW}")
    options = _options(checkpoint, query)
    base_url = options.get("base_url", preset.base_url)
    if not base_url and not launched:
        raise EngineError(f"{checkpoint!r}: {preset.title} needs its address, as ?base_url=https://….")
    # The preset's key goes to the preset's own server. One sent elsewhere must be meant for it.
    key = preset.key_variable if base_url == preset.base_url or not preset.base_url else ""
    return Upstream(
        base_url=_checked_url(checkpoint, base_url) if base_url else "",
        model=model,
        key_variable=_key(checkpoint, options.get("key", key), own=preset.key_variable if key else ""),
        quirks=frozenset(_changed(checkpoint, preset.quirks, options.get("quirks", ""), Quirk, "quirks")),
        abilities=tuple(
            _changed(checkpoint, preset.abilities, options.get("abilities", ""), Ability, "abilities")
        ),
        title=preset.title,
        context_length=_context(checkpoint, options),
    )


def _of_url(checkpoint: str) -> Upstream:
    parts = urlsplit(checkpoint)
    if not parts.fragment:
        raise EngineError(f"{checkpoint!r} names no model. {HOW}")
    options = _options(checkpoint, parts.query)
    base_url = _checked_url(checkpoint, urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")))
    return Upstream(
        base_url=base_url,
        model=parts.fragment,
        key_variable=_key(checkpoint, options.get("key", ""), own=""),
        quirks=frozenset(_changed(checkpoint, ANY.quirks, options.get("quirks", ""), Quirk, "quirks")),
        abilities=tuple(
            _changed(checkpoint, ANY.abilities, options.get("abilities", ""), Ability, "abilities")
        ),
        title=ANY.title,
        context_length=_context(checkpoint, options),
    )


def _options(checkpoint: str, query: str) -> dict[str, str]:
    known = ("base_url", "key", "abilities", "quirks", "context")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            raise EngineError(
                f"{checkpoint!r}: the option {name!r} is not known; known are {', '.join(known)}."
            )
    return options


def _checked_url(checkpoint: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise EngineError(f"{checkpoint!r}: base_url must be an address such as http://host:8000/v1.")
    if parts.username or parts.password:
        raise EngineError(
            f"{checkpoint!r}: an address must hold no password. Name a variable: ?key=CHATSITE_UPSTREAM_KEY."
        )
    return url.rstrip("/")


def _key(checkpoint: str, variable: str, *, own: str) -> str:
    if variable and variable != own and not OWN_KEY.match(variable):
        raise EngineError(
            f"{checkpoint!r}: key={variable} may not be sent to that address. Put the key into a variable whose name "
            "begins with CHATSITE_UPSTREAM_KEY_."
        )
    return variable


def _changed(checkpoint: str, values: Iterable[E], changes: str, kind: type[E], option: str) -> list[E]:
    """`values` with those of `changes` added, or taken away where a minus stands in front."""
    kept = list(values)
    for change in filter(None, changes.replace(" ", "+").split(",")):
        sign, name = change[0], change.lstrip("+-")
        try:
            value = kind(name)
        except ValueError:
            raise EngineError(
                f"{checkpoint!r}: {option}: {name!r} is not known; known are {', '.join(kind)}."
            ) from None
        if sign == "-":
            kept = [other for other in kept if other != value]
        elif value not in kept:
            kept.append(value)
    return kept


def _context(checkpoint: str, options: dict[str, str]) -> int:
    text = options.get("context", "0")
    if not text.isdecimal():
        raise EngineError(
            f"{checkpoint!r}: context={text!r} is not a number of tokens; for example context=32768."
        )
    return int(text)
