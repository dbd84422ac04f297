"""How often judges agree, as the MT-bench paper defines it (arXiv 2306.05685, section 4.2 and table 5).

A vote is one judge's winner on one question, turn and pair of chat models. The agreement of two kinds of judges is the
probability that randomly chosen votes, one of each, on the same comparison are equal. Setup S1 counts every vote, with
all kinds of ties (and inconsistent ones) as one; setup S2 leaves out the votes that are ties.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.resampling import LEVEL, ROUNDS, Estimate, draws, ratio
from evaluation.records import PairVerdict, QuestionId

TIE = "tie"


@dataclass(frozen=True, slots=True)
class Ballot:
    """One vote on one comparison. The winner is a chat model's name or `TIE`."""

    question_id: QuestionId
    turn: int
    models: tuple[str, str]
    """Sorted."""
    judge: str
    winner: str

    @classmethod
    def of(cls, verdict: PairVerdict) -> "Ballot | None":
        """None for a verdict with an error. Inconsistent games are a tie."""
        if verdict.winner == "error":
            return None
        names = {"model_1": verdict.model_1, "model_2": verdict.model_2}
        first, second = sorted(names.values())
        return cls(
            verdict.question_id, verdict.turn, (first, second), verdict.judge, names.get(verdict.winner, TIE)
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    rate: Estimate
    pairs: float
    """Pairs of votes that were compared; each comparison weighs as its votes do (`between`, `within`)."""
    kappa: float
    """Cohen's: how far above chance, 0 is chance and 1 is always. NaN where chance alone would agree always."""


def between(
    first: Iterable[Ballot],
    second: Iterable[Ballot],
    *,
    ties: bool,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
) -> Agreement:
    """Agreement of each of the first kind's votes with each of the second's on the same comparison.

    `ties` is setup S1; without them it is S2. Intervals resample questions.
    """
    ours, theirs = _grouped(first, ties=ties), _grouped(second, ties=ties)
    common = [key for key in ours if key in theirs]
    matches = [(key, a, b) for key in common for a in ours[key] for b in theirs[key]]
    return _agreement(matches, rounds, level, seed)


def within(
    ballots: Iterable[Ballot], *, ties: bool, rounds: int = ROUNDS, level: float = LEVEL, seed: int = 0
) -> Agreement:
    """Agreement of the votes of one kind with each other: every two votes on the same comparison."""
    groups = _grouped(ballots, ties=ties)
    matches = [
        (key, votes[i], votes[j])
        for key, votes in groups.items()
        for i in range(len(votes))
        for j in range(i + 1, len(votes))
    ]
    return _agreement(matches, rounds, level, seed, alike=True)


_Comparison = tuple[QuestionId, int, tuple[str, str]]


def _grouped(ballots: Iterable[Ballot], *, ties: bool) -> dict[_Comparison, list[str]]:
    groups: dict[_Comparison, list[str]] = defaultdict(list)
    for ballot in ballots:
        if ties or ballot.winner != TIE:
            groups[(ballot.question_id, ballot.turn, ballot.models)].append(ballot.winner)
    return groups


def _agreement(
    matches: list[tuple[_Comparison, str, str]],
    rounds: int,
    level: float,
    seed: int,
    *,
    alike: bool = False,
) -> Agreement:
    """`alike`: both votes are of one kind, so which of them is called the first means nothing."""
    if not matches:
        return Agreement(Estimate.unknown(), 0, float("nan"))
    questions = sorted({key[0] for key, _, _ in matches}, key=str)
    line = {question: index for index, question in enumerate(questions)}
    sums, counts = np.zeros((len(questions), 1)), np.zeros((len(questions), 1))
    # Which of the two (in the sorted order) or a tie: chance agreement is by place, as names differ per comparison.
    seen = np.zeros((2, 3))
    for key, first, second in matches:
        sums[line[key[0]], 0] += first == second
        counts[line[key[0]], 0] += 1
        for row, winner in enumerate((first, second)):
            place = key[2].index(winner) if winner in key[2] else 2
            seen[:, place] += (0.5, 0.5) if alike else (row == 0, row == 1)
    [rate] = ratio(sums, counts, draws(len(questions), rounds, seed), level=level)
    shares = seen / seen.sum(axis=1, keepdims=True)
    chance = float((shares[0] * shares[1]).sum())
    kappa = (rate.value - chance) / (1 - chance) if chance < 1 else float("nan")
    return Agreement(rate, float(counts.sum()), kappa)
