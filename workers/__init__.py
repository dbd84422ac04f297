"""Everything between a request and a token.

For scripts: `from workers import load_model` gives a chat model in this process, without any server. See
docs/terminal.md. It is looked up when it is asked for, so that the web never meets an engine.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.library import LocalModel, Talk, load_model

__all__ = ["LocalModel", "Talk", "load_model"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("workers.library"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
