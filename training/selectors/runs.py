"""How a run goes, out of what it has told: the points of its curves, its last step, its samples, its log."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from training.models import Job

Point = tuple[float, float]
"""Step and value."""
MOST_SAMPLES: Final = 60
LOG_BYTES: Final = 8192


class Sample(NamedTuple):
    step: int
    prompt: str
    text: str


class HeldOut(NamedTuple):
    """The loss on what was not learnt, in nats a token (pairs: a pair)."""

    before: float
    """Of the parent."""
    after: float

    @property
    def perplexities(self) -> tuple[float, float]:
        return math.exp(self.before), math.exp(self.after)


@dataclass(slots=True)
class Course:
    losses: list[Point] = field(default_factory=list)
    validation: list[Point] = field(default_factory=list)
    rates: list[Point] = field(default_factory=list)
    last: Mapping[str, Any] = field(default_factory=dict)
    """What the newest step told: step, steps, tokens_per_second, memory in bytes, seconds_left, …"""
    samples: list[Sample] = field(default_factory=list)
    estimate: Mapping[str, Any] = field(default_factory=dict)
    """Bytes: needed, free, weights, …"""

    @property
    def share(self) -> float:
        """Of the steps, how many are done: 0 to 1."""
        step, steps = self.last.get("step"), self.last.get("steps")
        return min(1.0, step / steps) if _number(step) and _number(steps) and steps else 0.0

    @property
    def held_out(self) -> HeldOut | None:
        """What was measured before the first step and last; None unless both were."""
        if len(self.validation) < 2 or self.validation[0][0] != 0:
            return None
        return HeldOut(self.validation[0][1], self.validation[-1][1])


def course(job: Job) -> Course:
    found = Course()
    for data in job.events.order_by("id").values_list("data", flat=True):
        if "prompt" in data:
            found.samples.append(
                Sample(int(data.get("step") or 0), str(data["prompt"]), str(data.get("text")))
            )
        elif "needed" in data:
            found.estimate = data
        elif _number(data.get("step")):
            _add_point(found, data)
    found.samples = found.samples[-MOST_SAMPLES:]
    return found


def _add_point(found: Course, data: Mapping[str, Any]) -> None:
    step = data["step"]
    if _number(data.get("valid_loss")):
        # A run that was taken up again measures the same step twice.
        found.validation = [point for point in found.validation if point[0] < step] + [
            (step, data["valid_loss"])
        ]
    if "train_loss" not in data:
        return
    found.last = data
    for points, name in ((found.losses, "train_loss"), (found.rates, "learning_rate")):
        while points and points[-1][0] >= step:
            points.pop()
        if _number(data.get(name)):
            points.append((step, data[name]))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def log_tail(path: Path) -> str:
    """The end of what the recipe printed; "" where it is not: on another machine, or nothing yet."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            size = file.tell()
            file.seek(max(0, size - LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text if size <= LOG_BYTES else text.partition("\n")[2]
