"""Bradley–Terry ratings of the chat models of a suite, by the arena's own functions.

Each pair verdict is one vote under the conservative rule. The intervals resample questions, with all their verdicts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from arena.ratings import bradley_terry, intervals
from arena.ratings.pairs import LEFT, RIGHT, TIE, Outcomes, PairCounts
from evaluation.metrics.resampling import LEVEL, ROUNDS, Estimate
from evaluation.records import PairVerdict

_SCORES = {"model_1": LEFT, "model_2": RIGHT, "tie": TIE}


@dataclass(frozen=True, slots=True)
class RatingRow:
    chat_model: str
    rating: Estimate
    """Points around 1000; 400 points are odds of ten to one."""
    verdicts: int
    undecided: bool
    """Won or lost everything, or met too few others: the rating rests on a weak prior."""


def ratings(
    verdicts: Iterable[PairVerdict], *, rounds: int = ROUNDS, level: float = LEVEL, seed: int = 0
) -> list[RatingRow]:
    """One row per chat model, best first. Verdicts with an error are left out."""
    judged = [verdict for verdict in verdicts if verdict.winner != "error"]
    if not judged:
        return []
    outcomes = Outcomes.of(
        [verdict.model_1 for verdict in judged],
        [verdict.model_2 for verdict in judged],
        [_SCORES[verdict.winner] for verdict in judged],
        prompt=[str(verdict.question_id) for verdict in judged],
    )
    fit = bradley_terry.fit(PairCounts.of(outcomes))
    assert outcomes.prompt is not None  # it was given above
    drawn = intervals.bootstrap_clustered(outcomes, outcomes.prompt, rounds, seed=seed, prior=fit.prior)
    bounds = drawn.intervals(level)
    several = len(set(outcomes.prompt.tolist())) > 1
    rows = []
    for index in fit.order():
        name = fit.models[index]
        low, high = bounds.of(name) if several else (float("nan"), float("nan"))
        rows.append(
            RatingRow(
                name, Estimate(fit.rating(name), low, high), int(fit.votes[index]), name in fit.diverging
            )
        )
    return rows
