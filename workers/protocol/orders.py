"""What an operator wants of a worker while it runs: a chat model loaded, or given up."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from workers.protocol.reading import compact, json_object, read


class OrderState(StrEnum):
    QUEUED = "queued"
    """The worker has not begun: it may be at another order."""
    LOADING = "loading"
    DRAINING = "draining"
    """Nothing new is taken; what runs is being finished."""
    READY = "ready"
    UNLOADED = "unloaded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in {OrderState.READY, OrderState.UNLOADED, OrderState.FAILED}


@dataclass(frozen=True, slots=True)
class Weights:
    """How a chat model is loaded, as the catalog has it."""

    engine: str
    checkpoint: str
    slots: int = 0
    """Requests at once; 0 is the engine's choice."""
    context_length: int = 0
    template: str = ""
    engine_options: str = "{}"
    """A JSON object as text."""


@dataclass(frozen=True, slots=True)
class Order:
    """One wish, and how far it has come."""

    id: str
    worker: str
    chat_model: str
    given_at: float
    """Unix time, by the clock of who gave it."""
    weights: Weights | None = None
    """What to load; None is to unload."""
    state: OrderState = OrderState.QUEUED
    message: str = ""
    """A sentence for people: what went wrong, or what has been done."""
    changed_at: float = 0.0
    """Unix time of the last change of state, by the worker's clock; 0 while nobody has begun."""

    @property
    def loads(self) -> bool:
        return self.weights is not None

    def to_json(self) -> str:
        return compact(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Order":
        return read(cls, json_object(text))
