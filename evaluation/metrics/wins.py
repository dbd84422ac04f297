"""Win rates of pair verdicts under the conservative rule: who wins in both places wins, all else is a tie.

As MT-bench's `show_result --mode pairwise-…` counts: verdicts with an error in either game are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.resampling import LEVEL, ROUNDS, Estimate, draws, ratio
from evaluation.records import PairVerdict


@dataclass(frozen=True, slots=True)
class WinRow:
    chat_model: str
    wins: int
    losses: int
    ties: int
    errors: int
    win_rate: Estimate
    """Wins ÷ all."""
    loss_rate: float
    adjusted: Estimate
    """(Wins + ½ ties) ÷ all."""


def win_rates(
    verdicts: Iterable[PairVerdict],
    *,
    baseline: str | None = None,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
) -> list[WinRow]:
    """One row per chat model, best first. With a `baseline` only games with it count, and it has no row itself."""
    listed = [v for v in verdicts if baseline is None or baseline in (v.model_1, v.model_2)]
    if not listed:
        return []
    models = sorted({name for v in listed for name in (v.model_1, v.model_2)} - {baseline})
    questions = sorted({v.question_id for v in listed}, key=str)
    column = {name: index for index, name in enumerate(models)}
    line = {question: index for index, question in enumerate(questions)}
    # One number per (question, chat model, outcome), counted in one pass: wins, losses, ties, errors.
    cells = []
    for verdict in listed:
        winner, start = verdict.winner, line[verdict.question_id] * len(models)
        for name, other in ((verdict.model_1, "model_2"), (verdict.model_2, "model_1")):
            if name in column:
                outcome = 2 if winner == "tie" else 3 if winner == "error" else int(winner == other)
                cells.append((start + column[name]) * 4 + outcome)
    shape = (len(questions), len(models), 4)
    tally = np.bincount(cells, minlength=len(questions) * len(models) * 4).reshape(shape).astype(float)
    counts = tally[:, :, :3].sum(axis=2)
    resamples = draws(len(questions), rounds, seed)
    raw = ratio(tally[:, :, 0], counts, resamples, level=level)
    adjusted = ratio(tally[:, :, 0] + tally[:, :, 2] / 2, counts, resamples, level=level)
    rows = []
    for name, k in column.items():
        wins, losses, ties, errors = (int(number) for number in tally[:, k].sum(axis=0))
        judged = wins + losses + ties
        loss_rate = losses / judged if judged else float("nan")
        rows.append(WinRow(name, wins, losses, ties, errors, raw[k], loss_rate, adjusted[k]))
    return sorted(rows, key=lambda row: (-np.nan_to_num(row.adjusted.value, nan=-1.0), row.chat_model))
