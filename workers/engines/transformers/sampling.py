"""From logits to tokens, each row by its own settings and its own random numbers.

The random number of a step depends on the seed and on the step alone, so a seed gives the same words whatever else
is in the batch, as far as the logits are the same.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

# Candidates that are looked at first; a nucleus (top_p) that is larger is found by sorting all of the vocabulary,
# which takes milliseconds for each row.
CANDIDATES = 256


class Likelihood(NamedTuple):
    """A token and the natural logarithm of its probability under the model, before any setting."""

    token: int
    logprob: float


class Picked(NamedTuple):
    token: int
    logprob: float | None = None
    """None when nobody asked."""
    top: tuple[Likelihood, ...] = ()
    """The most likely tokens, most likely first."""


@dataclass
class Settings:
    """How one row picks. The numbers are checked by whoever makes this."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is all."""
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    logprobs: bool = False
    top_logprobs: int = 0

    @property
    def plain(self) -> bool:
        """Greedy and nothing else: the highest logit is the answer."""
        return self.temperature == 0 and not self.changes_logits and not self.logprobs

    @property
    def changes_logits(self) -> bool:
        penalties = self.presence_penalty, self.frequency_penalty, self.repetition_penalty - 1
        return any(penalties) or bool(self.logit_bias)

    @property
    def narrows(self) -> bool:
        """Whether only some of the tokens may be drawn."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0


class Held(Protocol):
    """What a reply is held to; see `constraints`."""

    def mask(self, logits: torch.Tensor) -> torch.Tensor: ...
    def accept(self, token: int) -> None: ...


class Picker:
    """The settings of one row, its random numbers, and what it has said."""

    def __init__(
        self,
        settings: Settings,
        *,
        seed: int | None = None,
        prompt: Iterable[int] = (),
        said: Sequence[int] = (),
        constraint: Held | None = None,
    ):
        """`said`: tokens of the reply that were picked before, by a worker that was lost."""
        self.settings = settings
        self._constraint = constraint
        self._random = random.Random(seed)  # noqa: S311 - words, not secrets
        for _ in said:
            self._random.random()
        self._said = Counter(said)
        self._seen = set(prompt) | set(said) if settings.repetition_penalty != 1 else set()

    @property
    def plain(self) -> bool:
        """The highest logit is the answer."""
        return self.settings.plain and self._constraint is None

    def draw(self) -> float:
        """The random number of this step, in [0, 1)."""
        return self._random.random()

    def note(self, token: int) -> None:
        """`token` has been picked."""
        if self.settings.changes_logits:
            self._said[token] += 1
            self._seen.add(token)
        if self._constraint is not None:
            self._constraint.accept(token)

    def changed(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits (vocabulary,) with penalties, biases and constraints. Does not change its argument."""
        settings = self.settings
        if settings.changes_logits:
            logits = logits.clone()
            self._penalise(logits)
            for token, bias in settings.logit_bias.items():
                if 0 <= token < len(logits):
                    logits[token] += bias
        return logits if self._constraint is None else self._constraint.mask(logits)

    def _penalise(self, logits: torch.Tensor) -> None:
        settings = self.settings
        if settings.repetition_penalty != 1 and self._seen:
            seen = torch.tensor(sorted(self._seen), device=logits.device)
            values = logits[seen]
            # As in the CTRL paper (arXiv:1909.05858): towards less likely on both sides of zero.
            logits[seen] = torch.where(
                values > 0, values / settings.repetition_penalty, values * settings.repetition_penalty
            )
        if self._said and (settings.presence_penalty or settings.frequency_penalty):
            tokens = torch.tensor(list(self._said), device=logits.device)
            counts = torch.tensor(list(self._said.values()), device=logits.device, dtype=logits.dtype)
            logits[tokens] -= settings.presence_penalty + settings.frequency_penalty * counts


def pick(logits: torch.Tensor, pickers: Sequence[Picker]) -> list[Picked]:
    """One token for each row of `logits`, (rows, vocabulary)."""
    if all(picker.plain for picker in pickers):
        return [Picked(token) for token in logits.argmax(-1).tolist()]
    logits = logits.float()
    changed = torch.stack([picker.changed(row) for picker, row in zip(pickers, logits, strict=True)])
    tokens = changed.argmax(-1).tolist()
    drawn = [row for row, picker in enumerate(pickers) if picker.settings.temperature > 0]
    if drawn:
        for row, token in zip(drawn, _draw(changed[drawn], [pickers[row] for row in drawn]), strict=True):
            tokens[row] = token
    for picker, token in zip(pickers, tokens, strict=True):
        picker.note(token)
    return [_told(logits[row], picker.settings, tokens[row]) for row, picker in enumerate(pickers)]


def _draw(logits: torch.Tensor, pickers: Sequence[Picker]) -> list[int]:
    warmth = torch.tensor([[picker.settings.temperature] for picker in pickers], device=logits.device)
    chances = torch.softmax(logits / warmth, dim=-1)
    best: Any = None
    if any(picker.settings.narrows for picker in pickers):
        best = chances.topk(min(CANDIDATES, chances.shape[-1]))
    tokens = []
    for row, picker in enumerate(pickers):
        if picker.settings.narrows:
            tokens.append(_narrow(chances[row], best.values[row], best.indices[row], picker))
        else:
            tokens.append(_by_chance(chances[row].double().cumsum(0).cpu().numpy(), picker.draw()))
    return tokens


def _narrow(chances: torch.Tensor, best: torch.Tensor, tokens: torch.Tensor, picker: Picker) -> int:
    """Draw among the likely ones. `best` are the highest of `chances` in falling order, `tokens` whose they are."""
    settings = picker.settings
    kept = likely(best.double().cpu().numpy(), settings)
    if kept is None:
        everything = chances.sort(descending=True)
        tokens = everything.indices
        kept = likely(everything.values.double().cpu().numpy(), settings, whole=True)
        assert kept is not None
    return int(tokens[_by_chance(kept.cumsum(), picker.draw())])


def likely(chances: np.ndarray, settings: Settings, *, whole: bool = False) -> np.ndarray | None:
    """The first of `chances` (falling) that top_k, then top_p, then min_p leave, at least one.

    None when more than these may be left; never when they are the `whole` vocabulary.
    """
    known = len(chances)
    if settings.top_k:
        if settings.top_k > known and not whole:
            return None
        chances = chances[: settings.top_k]
    if settings.top_p < 1:
        # A nucleus is of what top_k has left, as in transformers.
        total = chances.sum() if settings.top_k else 1.0
        reached = chances.cumsum() >= settings.top_p * total - 1e-12
        if not reached.any():
            if not whole and not settings.top_k:
                return None
        else:
            chances = chances[: int(reached.argmax()) + 1]
    if settings.min_p > 0:
        enough = chances >= settings.min_p * chances[0]
        if enough.all() and len(chances) == known and not whole:
            return None
        chances = chances[enough]
    return chances


def _by_chance(cumulated: np.ndarray, draw: float) -> int:
    """The place in a running sum of chances that a number in [0, 1) falls on."""
    place = int(np.searchsorted(cumulated, draw * cumulated[-1], side="right"))
    return min(place, len(cumulated) - 1)


def _told(logits: torch.Tensor, settings: Settings, token: int) -> Picked:
    if not settings.logprobs:
        return Picked(token)
    logprobs = torch.log_softmax(logits, dim=-1)
    best = logprobs.topk(min(settings.top_logprobs, len(logprobs)))
    top = tuple(
        Likelihood(int(token), float(value)) for token, value in zip(best.indices, best.values, strict=True)
    )
    return Picked(token, float(logprobs[token]), top)
