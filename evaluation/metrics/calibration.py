"""A judge's calibration card: how it behaves as an instrument, from its own verdicts and those of others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.metrics import agreement, biases
from evaluation.metrics.agreement import Agreement, Ballot
from evaluation.metrics.biases import PositionReport, SelfPreference
from evaluation.metrics.lengths import LengthReport, Lengths, effect
from evaluation.metrics.panel import ballots_of_scores
from evaluation.metrics.resampling import Estimate, mean
from evaluation.records import PairVerdict, QuestionId, SingleVerdict


@dataclass(frozen=True, slots=True)
class Drift:
    """The same answers judged at two times by one judge."""

    difference: Estimate
    """Mean later score less mean earlier score."""
    unchanged: Estimate
    """Share of answers with the very same score."""
    answers: int


@dataclass(frozen=True, slots=True)
class Card:
    judge: str
    singles: int
    pairs: int
    errors: int
    """Verdicts that could not be read, of both kinds."""
    position: PositionReport | None
    """None without pair verdicts; its `ties` is the tie rate."""
    length: LengthReport | None
    """None where the answers' lengths are not known."""
    self_preference: SelfPreference | None
    with_people: Agreement | None
    """Setup S1; None where people judged none of the same comparisons."""
    with_people_decided: Agreement | None
    """Setup S2."""
    drift: Drift | None
    same_pairs: Estimate | None
    """Share of pairs with the very same verdict at an earlier time; None without any of then."""


def card(
    judge: str,
    *,
    singles: Sequence[SingleVerdict] = (),
    pairs: Sequence[PairVerdict] = (),
    people: Sequence[Ballot] = (),
    lengths: Lengths | None = None,
    earlier: Sequence[SingleVerdict] = (),
    earlier_pairs: Sequence[PairVerdict] = (),
    seed: int = 0,
) -> Card:
    """`singles` and `pairs` may hold other judges' verdicts too: self-preference needs them."""
    own = [verdict for verdict in singles if verdict.judge == judge]
    games = [verdict for verdict in pairs if verdict.judge == judge]
    ballots = [ballot for ballot in map(Ballot.of, games) if ballot] or ballots_of_scores(own)
    together, decided = (_with_people(ballots, people, ties=ties, seed=seed) for ties in (True, False))
    return Card(
        judge=judge,
        singles=len(own),
        pairs=len(games),
        errors=sum(v.score is None for v in own) + sum(v.winner == "error" for v in games),
        position=biases.position(games, seed=seed) if games else None,
        length=effect(games, lengths, seed=seed) if games and lengths else None,
        self_preference=biases.self_preference(singles, judge=judge),
        with_people=together,
        with_people_decided=decided,
        drift=drift([v for v in earlier if v.judge == judge], own, seed=seed),
        same_pairs=same_pairs([v for v in earlier_pairs if v.judge == judge], games, seed=seed),
    )


def drift(earlier: Iterable[SingleVerdict], later: Iterable[SingleVerdict], *, seed: int = 0) -> Drift | None:
    """None where no answer has a score at both times. Intervals resample questions."""
    before, after = _scores(earlier), _scores(later)
    common = [key for key in after if key in before]
    if not common:
        return None
    questions = [key[0] for key in common]
    difference = mean(questions, [after[key] - before[key] for key in common], seed=seed)
    unchanged = mean(questions, [float(after[key] == before[key]) for key in common], seed=seed)
    return Drift(difference, unchanged, len(common))


def same_pairs(
    earlier: Iterable[PairVerdict], later: Iterable[PairVerdict], *, seed: int = 0
) -> Estimate | None:
    """None where no pair has a verdict at both times. Intervals resample questions."""
    before, after = _winners(earlier), _winners(later)
    common = [key for key in after if key in before]
    if not common:
        return None
    same = [float(after[key] == before[key]) for key in common]
    return mean([key[0] for key in common], same, seed=seed)


def _with_people(
    ballots: Sequence[Ballot], people: Sequence[Ballot], *, ties: bool, seed: int
) -> Agreement | None:
    found = agreement.between(ballots, people, ties=ties, seed=seed)
    return found if found.pairs else None


def _scores(verdicts: Iterable[SingleVerdict]) -> Mapping[tuple[QuestionId, int, str, str], float]:
    return {
        (verdict.question_id, verdict.turn, verdict.chat_model, verdict.judge): verdict.score
        for verdict in verdicts
        if verdict.score is not None
    }


def _winners(verdicts: Iterable[PairVerdict]) -> Mapping[tuple[QuestionId, int, str, str, str], str]:
    return {
        (verdict.question_id, verdict.turn, verdict.model_1, verdict.model_2, verdict.judge): verdict.winner
        for verdict in verdicts
        if verdict.winner != "error"
    }
