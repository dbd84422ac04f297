"""What the length of an answer has to do with winning, and win rates without that.

Intervals draw whole questions again, as everywhere; see `resampling`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.resampling import LEVEL, ROUNDS, Estimate, draws, estimate, lines_of, mean, ratio
from evaluation.records import PairVerdict, QuestionId

Lengths = Mapping[tuple[QuestionId, str, int], int]
"""Characters of an answer, by (question, chat model, turn)."""

RIDGE = 0.01
"""Pulls both weights of the logistic a little to 0, which keeps those of a clean sweep finite."""


@dataclass(frozen=True, slots=True)
class LengthReport:
    slope: Estimate
    """Change of the chance to win when the answer is twice as long as the other one; 0 is none."""
    longer_wins: Estimate
    """Of decided verdicts on answers of different length: the longer one won."""
    verdicts: int


def effect(verdicts: Iterable[PairVerdict], lengths: Lengths, *, seed: int = 0) -> LengthReport:
    """How far the length of an answer goes with winning. Nothing is said about why."""
    found = []
    for verdict in verdicts:
        sizes = [
            lengths.get((verdict.question_id, name, verdict.turn), 0)
            for name in (verdict.model_1, verdict.model_2)
        ]
        if verdict.winner != "error" and min(sizes) > 0:
            score = {"model_1": 1.0, "model_2": 0.0}.get(verdict.winner, 0.5)
            found.append((str(verdict.question_id), float(np.log2(sizes[0] / sizes[1])), score))
    found.sort()  # the last digit of a sum depends on the order
    decided = [(question, d, score) for question, d, score in found if d != 0 and score != 0.5]
    longer = mean([row[0] for row in decided], [float((d > 0) == (s == 1)) for _, d, s in decided], seed=seed)
    return LengthReport(_slope(found, seed), longer, len(found))


def _slope(found: list[tuple[str, float, float]], seed: int) -> Estimate:
    """Of the score over the doublings of length, by least squares through (0, ½): equal lengths, equal chances."""
    doublings = np.array([d for _, d, _ in found])
    if not doublings.any():
        return Estimate.unknown()
    line = lines_of([question for question, _, _ in found])
    products = doublings * (np.array([score for _, _, score in found]) - 0.5)
    sums, squares = (
        np.bincount(line, weights=values).astype(float)[:, None] for values in (products, doublings**2)
    )
    [slope] = ratio(sums, squares, draws(len(sums), ROUNDS, seed))
    return slope


def controlled(
    verdicts: Iterable[PairVerdict],
    lengths: Lengths,
    *,
    candidate: str,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """The candidate's win rate if its answers were as long as the other's, 0 to 1 (AlpacaEval 2, arXiv 2404.04475).

    logit P = w · tanh(Δlength ÷ its standard deviation) + b, fitted to ties-as-½ outcomes with a weak ridge; the rate
    is P at Δlength = 0. It is the paper's model without the difficulties of single instructions, which only its own
    data set has. The interval refits b in each resample by one step of Newton's method from the whole fit, which
    needs sums per question alone. NaN without verdicts.
    """
    rows = []
    for verdict in verdicts:
        if candidate not in (verdict.model_1, verdict.model_2) or verdict.winner == "error":
            continue
        other = verdict.model_2 if verdict.model_1 == candidate else verdict.model_1
        own, theirs = (
            lengths.get((verdict.question_id, name, verdict.turn), 0) for name in (candidate, other)
        )
        won = "model_1" if verdict.model_1 == candidate else "model_2"
        score = {won: 1.0, "tie": 0.5}.get(verdict.winner, 0.0)
        rows.append((str(verdict.question_id), float(own - theirs), score))
    if not rows:
        return Estimate.unknown()
    # In an order of their own: the last digit of a sum depends on it.
    questions, deltas, scores = zip(*sorted(rows), strict=True)
    difference, outcomes = np.array(deltas), np.array(scores)
    spread = difference.std()
    feature = np.tanh(difference / spread) if spread > 0 else np.zeros(len(difference))
    design = np.column_stack([feature, np.ones(len(feature))])
    weights = _logistic(design, outcomes)
    intercepts = _refitted(design, outcomes, weights, lines_of(questions), rounds, seed)
    return estimate(_chance(weights[1]), _chance(intercepts), len(set(questions)), level)


Vector = NDArray[np.float64]


def _chance(logits: Vector) -> Vector:
    # Beyond ±30 nothing changes that a float would show, and exp could overflow.
    odds: Vector = np.exp(-np.clip(logits, -30, 30))
    return 1 / (1 + odds)


def _logistic(design: Vector, outcomes: Vector) -> Vector:
    """(slope, intercept) for a design of (verdicts, 2), by Newton's method with the ridge."""
    weights = np.zeros(2)
    for _ in range(50):
        chance = _chance(design @ weights)
        gradient = design.T @ (outcomes - chance) - RIDGE * weights
        information = (design * (chance * (1 - chance))[:, None]).T @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(information, gradient)
        weights = weights + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return weights


def _refitted(
    design: Vector, outcomes: Vector, weights: Vector, line: NDArray[np.intp], rounds: int, seed: int
) -> Vector:
    """(rounds,): the intercept in each resample of questions. `line` is each verdict's question, counted from 0."""
    chance = _chance(design @ weights)
    sums = [(outcomes - chance) * column for column in design.T]
    a, b, c = (
        chance * (1 - chance) * product for product in (design[:, 0] ** 2, design[:, 0], np.ones(len(design)))
    )
    # (questions, 5) → (rounds, 5): the two parts of the gradient and the three of the information, resampled together.
    per_question = np.column_stack([np.bincount(line, weights=values) for values in (*sums, a, b, c)])
    u, v, a, b, c = (draws(len(per_question), rounds, seed) @ per_question).T
    u, v, a, c = u - RIDGE * weights[0], v - RIDGE * weights[1], a + RIDGE, c + RIDGE
    # The second row of the inverse of [[a, b], [b, c]], times the gradient.
    refitted: Vector = weights[1] + (a * v - b * u) / (a * c - b * b)
    return refitted
