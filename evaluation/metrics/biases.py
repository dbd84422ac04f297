"""What a judge does apart from judging: prefers a place, or its own answers. On length see `lengths`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.resampling import Estimate, mean
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
    given, by_others = (float(np.mean(values)) for values in zip(*own, strict=True))
    return SelfPreference(given, by_others, given - by_others - mildness, len(own))


def _share(verdicts: Sequence[PairVerdict], value: Callable[[PairVerdict], float], seed: int) -> Estimate:
    return mean([v.question_id for v in verdicts], [value(v) for v in verdicts], seed=seed)
