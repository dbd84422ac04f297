"""What a job would need, told before it is started: memory, from the headers of the weights, and steps.

Pure arithmetic, so that the web can tell it. Time is another matter: it is measured where the job runs, and the job
tells it before its first step.
"""

import math
from dataclasses import dataclass

from training import memory
from training.models import Job
from training.services import materials, recipes
from training.weights import inspecting
from training.weights.errors import WeightsError
from workers.engine_settings import EngineError
from workers.locating import locate
from workers.models import ChatModel

WEIGHT_BYTES = 4
"""On a processor, where weights are in 32 bits; a GPU that knows bfloat16 takes half."""


class CannotForesee(Exception):  # noqa: N818 - reads as what happened
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Bytes on one device."""

    weights: int
    adapter: int
    """With its gradients and what Adam keeps."""
    batch: int
    """Of rows that are all as long as a row may be; shorter ones take less."""
    longest: int
    """Tokens of such a row."""
    trained: int
    """Parameters."""

    @property
    def least(self) -> int:
        return self.weights + self.adapter

    @property
    def most(self) -> int:
        return self.least + self.batch


def foresee(*, chat_model: ChatModel, method: str, batch_size: int | None) -> Foreseen:
    """As `recipes.prepare` would train it. Raises `CannotForesee`."""
    try:
        plan = inspecting.plan(locate(chat_model.checkpoint))
    except (WeightsError, EngineError, OSError, RuntimeError) as error:
        raise CannotForesee(str(error)) from None
    trained = sum(recipes.RANK * (rows + columns) for rows, columns in plan.matrices)
    # A preference is two rows: the chosen answer and the rejected one.
    rows = (batch_size or recipes.BATCH_SIZE) * (2 if method == Job.Method.DPO else 1)
    tokens = rows * recipes.LONGEST
    batch = memory.activations(plan.shape, tokens=tokens, checkpointing=False, mixed=False)
    return Foreseen(
        weights=(plan.parameters + trained) * WEIGHT_BYTES,
        adapter=trained * (4 + memory.ADAM),
        batch=batch + memory.logits(plan.shape, tokens=tokens),
        longest=recipes.LONGEST,
        trained=trained,
    )


def steps(*, rows: int, held_out: int, batch_size: int | None, epochs: int | None) -> int:
    """On one device, when each line becomes one row; 0 when nothing would be left to learn."""
    learnt = max(0, rows - materials.held_out(rows, held_out))
    return math.ceil(learnt / (batch_size or recipes.BATCH_SIZE)) * (epochs or recipes.EPOCHS)
