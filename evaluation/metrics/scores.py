"""Mean scores of single verdicts, per chat model, turn and category (MT-bench's `show_result --mode single`).

A verdict without a score is an error: it is counted and left out of the mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.resampling import LEVEL, ROUNDS, Estimate, Matrix, draws, ratio
from evaluation.records import QuestionId, SingleVerdict


@dataclass(frozen=True, slots=True)
class ScoreRow:
    chat_model: str
    mean: Estimate
    verdicts: int
    """With a score."""
    errors: int


def mean_scores(
    verdicts: Iterable[SingleVerdict], *, rounds: int = ROUNDS, level: float = LEVEL, seed: int = 0
) -> list[ScoreRow]:
    """One row per chat model, best first. Several judges' verdicts are averaged as they come."""
    listed = list(verdicts)
    models = sorted({verdict.chat_model for verdict in listed})
    questions = sorted({verdict.question_id for verdict in listed}, key=str)
    if not listed:
        return []
    column = {name: index for index, name in enumerate(models)}
    line = {question: index for index, question in enumerate(questions)}
    places = np.array([line[v.question_id] * len(models) + column[v.chat_model] for v in listed])
    values = np.array([np.nan if v.score is None else v.score for v in listed], dtype=float)
    scored = np.isfinite(values)
    shape = (len(questions), len(models))

    def table(weights: Matrix) -> Matrix:
        summed = np.bincount(places, weights=weights, minlength=shape[0] * shape[1])
        return summed.astype(float).reshape(shape)

    sums, counts = table(np.where(scored, values, 0.0)), table(scored.astype(float))
    errors = table((~scored).astype(float)).sum(axis=0)
    estimates = ratio(sums, counts, draws(len(questions), rounds, seed), level=level)
    rows = [
        ScoreRow(name, estimates[k], int(counts[:, k].sum()), int(errors[k])) for name, k in column.items()
    ]
    return sorted(rows, key=lambda row: (-np.nan_to_num(row.mean.value, nan=-1.0), row.chat_model))


def by_turn(verdicts: Sequence[SingleVerdict]) -> dict[int, list[SingleVerdict]]:
    turns = sorted({verdict.turn for verdict in verdicts})
    return {turn: [verdict for verdict in verdicts if verdict.turn == turn] for turn in turns}


def by_category(
    verdicts: Sequence[SingleVerdict], categories: Mapping[QuestionId, str]
) -> dict[str, list[SingleVerdict]]:
    """Verdicts on questions of each category, in the order in which the categories come."""
    found: dict[str, list[SingleVerdict]] = {}
    for verdict in verdicts:
        found.setdefault(categories.get(verdict.question_id, ""), []).append(verdict)
    return found
