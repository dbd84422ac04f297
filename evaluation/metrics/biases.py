"""What a judge does apart from judging: prefers a place, a length, its own answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.resampling import ROUNDS, Estimate, draws, ratio
from evaluation.records import PairVerdict, QuestionId, SingleVerdict


@dataclass(frozen=True, slots=True)
class PositionReport:
    """Shares of pair verdicts without an error (MT-bench paper, table 2)."""

    consistent: Estimate
    """Both games say the same."""
    favours_first: Estimate
    """Whoever was shown first won both games."""
    favours_second: Estimate
    ties: Estimate
    """Games that ended in a tie, of all games."""
    errors: int
    verdicts: int


def position(verdicts: Iterable[PairVerdict], *, seed: int = 0) -> PositionReport:
    listed = list(verdicts)
    judged = [verdict for verdict in listed if verdict.winner != "error"]
    same = _share(judged, lambda v: float(v.g1_winner == v.g2_winner), seed)
    # In game 1 model_1 is shown first, in game 2 model_2.
    first = _share(judged, lambda v: float((v.g1_winner, v.g2_winner) == ("model_1", "model_2")), seed)
    second = _share(judged, lambda v: float((v.g1_winner, v.g2_winner) == ("model_2", "model_1")), seed)
    ties = _share(judged, lambda v: ((v.g1_winner == "tie") + (v.g2_winner == "tie")) / 2, seed)
    return PositionReport(same, first, second, ties, len(listed) - len(judged), len(judged))


@dataclass(frozen=True, slots=True)
class LengthReport:
    slope: float
    """Change of the chance to win when the answer is twice as long as the other one; 0 is none."""
    longer_wins: Estimate
    """Of decided verdicts on answers of different length: the longer one won."""
    verdicts: int


Lengths = Mapping[tuple[QuestionId, str, int], int]
"""Characters of an answer, by (question, chat model, turn)."""


def length(verdicts: Iterable[PairVerdict], lengths: Lengths, *, seed: int = 0) -> LengthReport:
    """How far the length of an answer goes with winning. Nothing is said about why."""
    found = []
    for verdict in verdicts:
        sizes = [
            lengths.get((verdict.question_id, name, verdict.turn), 0)
            for name in (verdict.model_1, verdict.model_2)
        ]
        if verdict.winner != "error" and min(sizes) > 0:
            score = {"model_1": 1.0, "model_2": 0.0}.get(verdict.winner, 0.5)
            found.append((verdict, float(np.log2(sizes[0] / sizes[1])), score))
    decided = [(v, doublings, score) for v, doublings, score in found if doublings != 0 and score != 0.5]
    longer = _share_of(
        [v.question_id for v, _, _ in decided], [float((d > 0) == (s == 1)) for _, d, s in decided], seed
    )
    doublings = np.array([d for _, d, _ in found])
    scores = np.array([s for _, _, s in found])
    varied = float(doublings @ doublings)
    # Through (0, ½): two answers of the same length have the same chance by symmetry.
    slope = float(doublings @ (scores - 0.5)) / varied if varied > 0 else float("nan")
    return LengthReport(slope, longer, len(found))


def length_controlled(verdicts: Iterable[PairVerdict], lengths: Lengths, *, candidate: str) -> float:
    """The candidate's win rate if its answers were as long as the other's, 0 to 1 (AlpacaEval 2, arXiv 2404.04475).

    logit P = w · tanh(Δlength ÷ its standard deviation) + b, fitted to ties-as-½ outcomes with a weak ridge; the rate
    is P at Δlength = 0. It is the paper's model without the difficulties of single instructions, which only its own
    data set has. NaN without verdicts.
    """
    deltas, outcomes = [], []
    for verdict in verdicts:
        if candidate not in (verdict.model_1, verdict.model_2) or verdict.winner == "error":
            continue
        other = verdict.model_2 if verdict.model_1 == candidate else verdict.model_1
        own, theirs = (
            lengths.get((verdict.question_id, name, verdict.turn), 0) for name in (candidate, other)
        )
        won = "model_1" if verdict.model_1 == candidate else "model_2"
        deltas.append(float(own - theirs))
        outcomes.append({won: 1.0, "tie": 0.5}.get(verdict.winner, 0.0))
    if not outcomes:
        return float("nan")
    difference = np.array(deltas)
    spread = difference.std()
    feature = np.tanh(difference / spread) if spread > 0 else np.zeros(len(difference))
    intercept = _logistic(feature, np.array(outcomes))[1]
    return float(1 / (1 + np.exp(-intercept)))


@dataclass(frozen=True, slots=True)
class SelfPreference:
    own: float
    """Mean score that the judge gives its own answers."""
    by_others: float
    """Mean score that the other judges give the same answers."""
    excess: float
    """own − by_others, less the same difference on everybody else's answers: a judge may be mild to all."""
    verdicts: int


def self_preference(verdicts: Sequence[SingleVerdict], *, judge: str) -> SelfPreference | None:
    """None when the judge has not judged answers of its own that another judge has judged as well."""
    scores: dict[tuple[QuestionId, int, str], dict[str, float]] = {}
    for verdict in verdicts:
        if verdict.score is not None:
            key = (verdict.question_id, verdict.turn, verdict.chat_model)
            scores.setdefault(key, {})[verdict.judge] = verdict.score
    rows = [
        (key[2] == judge, found[judge], float(np.mean([s for name, s in found.items() if name != judge])))
        for key, found in scores.items()
        if judge in found and len(found) > 1
    ]
    own = [(mine, theirs) for is_own, mine, theirs in rows if is_own]
    other = [(mine, theirs) for is_own, mine, theirs in rows if not is_own]
    if not own:
        return None
    mildness = float(np.mean([mine - theirs for mine, theirs in other])) if other else 0.0
    mean, by_others = (float(np.mean(values)) for values in zip(*own, strict=True))
    return SelfPreference(mean, by_others, mean - by_others - mildness, len(own))


def _share(verdicts: Sequence[PairVerdict], value: Callable[[PairVerdict], float], seed: int) -> Estimate:
    return _share_of([v.question_id for v in verdicts], [value(v) for v in verdicts], seed)


def _share_of(questions: Sequence[QuestionId], values: Sequence[float], seed: int) -> Estimate:
    if not values:
        nothing = float("nan")
        return Estimate(nothing, nothing, nothing)
    _, line = np.unique([str(question) for question in questions], return_inverse=True)
    sums = np.bincount(line, weights=np.asarray(values, dtype=float)).astype(float)[:, None]
    counts = np.bincount(line).astype(float)[:, None]
    [estimate] = ratio(sums, counts, draws(len(sums), ROUNDS, seed))
    return estimate


def _logistic(
    feature: np.ndarray[tuple[int], np.dtype[np.float64]],
    outcomes: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> tuple[float, float]:
    """(slope, intercept) by Newton's method with a ridge of 0.01, which keeps a clean sweep finite."""
    design = np.column_stack([feature, np.ones(len(feature))])
    weights = np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (outcomes - chance) - 0.01 * weights
        information = (design * (chance * (1 - chance))[:, None]).T @ design + 0.01 * np.eye(2)
        step = np.linalg.solve(information, gradient)
        weights = weights + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return float(weights[0]), float(weights[1])
