"""The values of a call, and what a caller promises."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from workers.protocol import ChatMessage, Sampling


@dataclass(frozen=True, slots=True)
class Call:
    """One text to be generated."""

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    """JSON schema of the answer, for those who can keep to one; the others ignore it."""


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    outcome: str
    """`stop` or `length`."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """From sending to the last token, waiting in queues included."""


class CallFailed(Exception):  # noqa: N818 - reads as what happened
    """No text came. The message is for people and holds neither prompt nor key.

    `transient`: trying again may help. `fatal`: every further call would fail as well (a wrong key, say).
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        transient: bool = False,
        fatal: bool = False,
        retry_after: float | None = None,
    ):
        super().__init__(message)
        self.code = code
        self.transient = transient
        self.fatal = fatal
        self.retry_after = retry_after
        """Seconds that the other side asked for."""


class Caller(Protocol):
    async def ask(self, call: Call) -> Completion:
        """Raises `CallFailed`. Cancelled, it stops the generation as far as the other side allows."""

    async def close(self) -> None: ...
