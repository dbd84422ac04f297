"""What an operator says about how a chat model is loaded. Pure: the web checks it, a worker obeys.

* `transformers`, `llama_cpp`: the *engine options* of those engines.
* `upstream`, `presets`: what a chat model's checkpoint says about somebody else's server.
"""

from collections.abc import Mapping
from typing import Any

from workers.engine_settings.errors import EngineError
from workers.engine_settings.llama_cpp import LlamaCppOptions
from workers.engine_settings.presets import PRESETS
from workers.engine_settings.transformers import TransformersOptions

__all__ = ["EngineError", "LlamaCppOptions", "Options", "TransformersOptions", "engine_of", "read_options"]

Options = LlamaCppOptions | TransformersOptions
READERS: dict[str, type[Options]] = {"llama_cpp": LlamaCppOptions, "transformers": TransformersOptions}


def engine_of(checkpoint: str) -> str:
    """Which engine loads it, told by its name alone: what is said of an engine goes before."""
    if not checkpoint or checkpoint.startswith("package:") or checkpoint.lower().endswith(".gguf"):
        return "llama_cpp"
    if checkpoint.startswith(("http://", "https://")) or checkpoint.partition(":")[0] in PRESETS:
        return "upstream"
    return "transformers"


def read_options(engine: str, given: Mapping[str, Any]) -> dict[str, Options]:
    """The engine's options under the name that `EngineSpec` has for them; {} where there are none.

    Raises `EngineError` that names the option.
    """
    reader = READERS.get(engine)
    if reader is not None:
        return {engine: reader.read(given)} if given else {}
    if given:
        raise EngineError(f"The engine {engine} has no option {', '.join(given)}.")
    return {}
