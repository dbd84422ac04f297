"""Calls into a library that hold the interpreter: while one runs, no other thread of the process does anything.

llama.cpp's Python binding loads weights that way. A worker's heartbeat stops meanwhile, and one that has not been heard
of for `fleet.EXPIRY_SECONDS` is dead to the others, who then finish its requests. So the call is announced beforehand,
and the process's last sign of life is made to last.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

SLOWEST_LOAD = 50_000_000
"""Bytes of weights that are loaded in a second even by a poor disk."""
LEAST_SECONDS = 30.0

Bear = Callable[[float], AbstractContextManager[None]]


def _nobody(seconds: float) -> AbstractContextManager[None]:
    return nullcontext()


_bear: Bear = _nobody


def bear_with(bear: Bear | None) -> None:
    """Have `bear(seconds)` entered around every call that was announced; None: nobody needs to know any more."""
    global _bear
    _bear = bear or _nobody


def announced(seconds: float) -> AbstractContextManager[None]:
    """To be entered around a call that may hold the interpreter for up to `seconds`."""
    return _bear(seconds)


def load_seconds(weights: Path) -> float:
    """How long loading the file `weights` may take at most. A worker that dies over it counts as alive for as long."""
    return max(LEAST_SECONDS, weights.stat().st_size / SLOWEST_LOAD)
