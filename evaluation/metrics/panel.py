"""Several judges on the same answers: what each two agree on, what most of them say, and scores read as votes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from evaluation.metrics import agreement
from evaluation.metrics.agreement import TIE, Agreement, Ballot
from evaluation.metrics.resampling import ROUNDS
from evaluation.records import QuestionId, SingleVerdict

PANEL = "panel"


@dataclass(frozen=True, slots=True)
class AgreementRow:
    first: str
    second: str
    """The same as `first` for the votes of one kind among themselves."""
    with_ties: Agreement
    """Setup S1 of the MT-bench paper."""
    without_ties: Agreement
    """Setup S2."""


def agreements(
    kinds: Mapping[str, Sequence[Ballot]], *, rounds: int = ROUNDS, seed: int = 0
) -> list[AgreementRow]:
    """Of each kind of judge with each other, and with itself where it voted several times on a comparison.

    Kinds that share no comparison have no row.
    """
    rows = []
    for first, second in [*combinations(kinds, 2), *((name, name) for name in kinds)]:
        found = [_of(kinds, first, second, ties=ties, rounds=rounds, seed=seed) for ties in (True, False)]
        if found[0].pairs:
            rows.append(AgreementRow(first, second, *found))
    return rows


def majority(ballots: Iterable[Ballot], *, name: str = PANEL) -> list[Ballot]:
    """One ballot per comparison: what more than half of the judges say, else a tie."""
    votes: dict[tuple[QuestionId, int, tuple[str, str]], list[str]] = defaultdict(list)
    for ballot in ballots:
        votes[(ballot.question_id, ballot.turn, ballot.models)].append(ballot.winner)
    return [Ballot(*key, name, _most(winners)) for key, winners in votes.items()]


def ballots_of_scores(verdicts: Iterable[SingleVerdict]) -> list[Ballot]:
    """Single scores as votes: of two chat models the one with the higher score of the same judge, a tie for the same.

    So the paper compares a grading judge with people (table 5, "GPT-4 single").
    """
    scores: dict[tuple[QuestionId, int, str], dict[str, float]] = defaultdict(dict)
    for verdict in verdicts:
        if verdict.score is not None:
            scores[(verdict.question_id, verdict.turn, verdict.judge)][verdict.chat_model] = verdict.score
    return [
        Ballot(question, turn, (first, second), judge, _higher(found, first, second))
        for (question, turn, judge), found in scores.items()
        for first, second in combinations(sorted(found), 2)
    ]


def _of(
    kinds: Mapping[str, Sequence[Ballot]], first: str, second: str, *, ties: bool, rounds: int, seed: int
) -> Agreement:
    if first == second:
        return agreement.within(kinds[first], ties=ties, rounds=rounds, seed=seed)
    return agreement.between(kinds[first], kinds[second], ties=ties, rounds=rounds, seed=seed)


def _most(winners: Sequence[str]) -> str:
    [(winner, count)] = Counter(winners).most_common(1)
    return winner if 2 * count > len(winners) else TIE


def _higher(scores: dict[str, float], first: str, second: str) -> str:
    if scores[first] == scores[second]:
        return TIE
    return first if scores[first] > scores[second] else second
