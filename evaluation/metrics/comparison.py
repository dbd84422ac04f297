"""Is B better than A? The same questions, the same judge: differences per question, an effect and a p-value."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.resampling import LEVEL, ROUNDS, Estimate, draws, ratio
from evaluation.records import PairVerdict, QuestionId, SingleVerdict

FLIPS = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    difference: Estimate
    """Mean of candidate less parent over the questions: points of score, or of (wins − losses) ÷ games."""
    effect: float
    """Cohen's d of paired differences: the mean in standard deviations. NaN where all are equal."""
    p_value: float
    """Two-sided, by flipping the signs of whole questions: exact whatever their distribution is. 1 without any."""
    questions: int


def of_scores(verdicts: Iterable[SingleVerdict], *, candidate: str, parent: str, seed: int = 0) -> Comparison:
    """From single verdicts on questions, turns and judges where both have a score."""
    scores: dict[tuple[QuestionId, int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for verdict in verdicts:
        if verdict.score is not None and verdict.chat_model in (candidate, parent):
            scores[(verdict.question_id, verdict.turn, verdict.judge)][verdict.chat_model].append(
                verdict.score
            )
    differences: dict[QuestionId, list[float]] = defaultdict(list)
    for (question, _, _), found in scores.items():
        if len(found) == 2:
            differences[question].append(float(np.mean(found[candidate]) - np.mean(found[parent])))
    return _compare(differences, seed)


def of_pairs(verdicts: Iterable[PairVerdict], *, candidate: str, parent: str, seed: int = 0) -> Comparison:
    """From pair verdicts between the two: +1 for a win of the candidate, −1 for a loss, 0 for a tie."""
    differences: dict[QuestionId, list[float]] = defaultdict(list)
    for verdict in verdicts:
        if {verdict.model_1, verdict.model_2} == {candidate, parent} and verdict.winner != "error":
            names = {"model_1": verdict.model_1, "model_2": verdict.model_2}
            winner = names.get(verdict.winner)
            differences[verdict.question_id].append({candidate: 1.0, parent: -1.0}.get(winner or "", 0.0))
    return _compare(differences, seed)


def _compare(differences: dict[QuestionId, list[float]], seed: int) -> Comparison:
    if not differences:
        return Comparison(Estimate.unknown(), float("nan"), 1.0, 0)
    # In an order of their own, so that the same verdicts in another order draw the same resamples.
    means = np.array([float(np.mean(differences[question])) for question in sorted(differences, key=str)])
    resamples = draws(len(means), ROUNDS, seed)
    [difference] = ratio(means[:, None], np.ones((len(means), 1)), resamples, level=LEVEL)
    spread = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    effect = difference.value / spread if spread > 0 else float("nan")
    return Comparison(difference, effect, _sign_flip_p(means, seed), len(means))


def _sign_flip_p(means: NDArray[np.float64], seed: int) -> float:
    observed = abs(means.sum())
    if len(means) <= 12:  # all 2^n sign patterns: the exact value
        patterns = np.array(np.meshgrid(*[[-1.0, 1.0]] * len(means))).reshape(len(means), -1)
        sums = np.abs(means @ patterns)
        return float((sums >= observed - 1e-12).mean())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(FLIPS, len(means)))
    # One more in both, the observed pattern itself, so that p is never 0 (Phipson and Smyth 2010).
    return float((np.sum(np.abs(signs @ means) >= observed - 1e-12) + 1) / (FLIPS + 1))
