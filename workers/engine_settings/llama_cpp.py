"""What an operator may choose for a llama.cpp engine."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from workers.engine_settings.errors import EngineError

HOW = "for example /srv/adapters/poet.gguf, or /srv/adapters/poet.gguf:0.5 for half of its strength"


class Lora(NamedTuple):
    """A LoRA adapter and how strongly it is added; 1 is as it was trained."""

    path: str
    scale: float = 1.0

    @classmethod
    def read(cls, text: str) -> "Lora":
        """`FILE` or `FILE:SCALE`. Raises `EngineError`."""
        path, colon, scale = text.rpartition(":")
        if not colon:
            return cls(_path(text, text))
        try:
            strength = float(scale)
        except ValueError:  # the colon belongs to the file's name
            return cls(_path(text, text))
        if not math.isfinite(strength):
            raise EngineError(f"lora {text!r}: the scale must be a finite number; {HOW}.")
        return cls(_path(path, text), strength)


def _path(path: str, text: str) -> str:
    if not path:
        raise EngineError(f"lora {text!r} names no file; write FILE or FILE:SCALE, {HOW}.")
    return path


@dataclass(frozen=True, slots=True)
class LlamaCppOptions:
    """Checked by `checked`."""

    mmproj: str = ""
    """GGUF file of a projector, with which the chat model looks at images."""
    lora: tuple[Lora, ...] = ()
    """Added to the weights for every request."""
    adapter: Lora | None = None
    """Through which this chat model is served; those of one base share its weights."""
    adapters: tuple[tuple[str, Lora], ...] = ()
    """Each served as a chat model of its own over the same weights, with `lora` below it."""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """From names and values, as the catalog has them:

        `{"mmproj": FILE, "lora": [FILE or FILE:SCALE, …], "adapter": FILE or FILE:SCALE, "adapters": {NAME: …}}`

        Raises `EngineError` for a name or a type that means nothing.
        """
        known = ("mmproj", "lora", "adapter", "adapters")
        for name in given:
            if name not in known:
                raise EngineError(f"engine option {name!r} is not known; there are {', '.join(known)}.")
        lora, adapters = given.get("lora", []), given.get("adapters", {})
        lora = [lora] if isinstance(lora, str) else lora
        if not isinstance(lora, list | tuple) or not all(isinstance(one, str) for one in lora):
            raise EngineError(f"engine option 'lora' must be a list of files, {HOW}.")
        if not isinstance(adapters, Mapping) or not all(isinstance(one, str) for one in adapters.values()):
            raise EngineError("engine option 'adapters' must be a mapping of chat model names to files.")
        for name in ("mmproj", "adapter"):
            if not isinstance(given.get(name, ""), str):
                raise EngineError(f"engine option '{name}' must be the path of a GGUF file.")
        adapter = given.get("adapter", "")
        return cls(
            mmproj=given.get("mmproj", ""),
            lora=tuple(Lora.read(one) for one in lora),
            adapter=Lora.read(adapter) if adapter else None,
            adapters=tuple((str(name), Lora.read(place)) for name, place in adapters.items()),
        )
