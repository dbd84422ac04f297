"""The question browser: each question with its answers side by side and what every judge said of them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from django.utils.translation import gettext as _

from evaluation.records import Answer, PairVerdict, Question, QuestionId, SingleVerdict
from evaluation.report.material import Material

OPENING_LENGTH: Final = 110
TIE: Final = "tie"
ERROR: Final = "error"

V = TypeVar("V", SingleVerdict, PairVerdict)

Address = Callable[[int], str]
"""Where the question at this place of the list (from 1) is to be found."""


@dataclass(frozen=True)
class Score:
    judge: str
    text: str


@dataclass(frozen=True)
class AnswerView:
    number: int
    """The chat model's place in the report, from 1; scripts know it by this number."""
    chat_model: str
    text: str
    missing: str
    """Why there is nothing to read; empty when there is."""
    scores: Sequence[Score]


@dataclass(frozen=True)
class VerdictView:
    outcome: str
    judge: str
    about: str
    numbers: Sequence[int]
    flag_names: Sequence[str]
    explanations: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class TurnView:
    number: int
    prompt: str
    reference: str
    answers: Sequence[AnswerView]
    verdicts: Sequence[VerdictView]


@dataclass(frozen=True)
class Line:
    """A question in the list."""

    question_id: QuestionId
    category: str
    opening: str
    address: str
    outcome: str
    flags: Sequence[str]
    winners: Sequence[int]

    @property
    def flag_names(self) -> list[str]:
        return [flag_name(flag) for flag in self.flags]


@dataclass(frozen=True)
class Page:
    question_id: QuestionId
    category: str
    position: int
    total: int
    previous: str
    next: str
    chat_models: Sequence[str]
    turns: Sequence[TurnView]


def flag_name(flag: str) -> str:
    return {
        "order": _("order changed it"),
        "judges": _("judges disagree"),
        "missing": _("no verdict"),
        "failed": _("no answer"),
    }[flag]


class Browser:
    """Looks questions up; made once for a report, since every page needs the same indexes."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.chat_models = material.chat_models
        self._number = {name: number for number, name in enumerate(self.chat_models, start=1)}
        self._answers = {(answer.question_id, answer.chat_model): answer for answer in material.answers}
        self._references = {answer.question_id: answer.turns for answer in material.references}
        self._singles = _by_question(material.singles)
        self._pairs = _by_question(material.all_pairs)

    def lines(self, address: Address) -> list[Line]:
        return [
            self._line(question, address(position))
            for position, question in enumerate(self.material.questions, start=1)
        ]

    def page(self, position: int, address: Address) -> Page:
        """The question at this place, from 1; IndexError beyond either end."""
        questions = self.material.questions
        if not 1 <= position <= len(questions):
            raise IndexError(position)
        question = questions[position - 1]
        return Page(
            question_id=question.id,
            category=question.category,
            position=position,
            total=len(questions),
            previous=address(position - 1) if position > 1 else "",
            next=address(position + 1) if position < len(questions) else "",
            chat_models=[name for name in self.chat_models if (question.id, name) in self._answers],
            turns=[self._turn(question, number) for number in range(1, len(question.turns) + 1)],
        )

    def _line(self, question: Question, address: str) -> Line:
        pairs, singles = self._pairs[question.id], self._singles[question.id]
        outcomes = [(pair, pair_outcome(pair)) for pair in pairs]
        return Line(
            question_id=question.id,
            category=question.category,
            opening=opening(question.turns[0]),
            address=address,
            outcome=self._summary(outcomes, singles),
            flags=self._flags(question, outcomes, singles),
            winners=sorted({self._number[name] for pair, name in outcomes if name in self._number}),
        )

    def _summary(self, outcomes: Sequence[tuple[PairVerdict, str]], singles: Sequence[SingleVerdict]) -> str:
        parts = []
        for name in self.chat_models:
            scores = [verdict.score for verdict in singles if verdict.chat_model == name]
            known = [score for score in scores if score is not None]
            if known:
                parts.append(f"{name} {sum(known) / len(known):.1f}")
        wins: dict[str, int] = defaultdict(int)
        for _pair, outcome in outcomes:
            wins[outcome] += 1
        parts += [
            _("%(name)s won %(count)s") % {"name": name, "count": wins[name]}
            for name in self.chat_models
            if wins[name]
        ]
        if wins[TIE]:
            parts.append(_("ties %(count)s") % {"count": wins[TIE]})
        return " · ".join(parts)

    def _flags(
        self,
        question: Question,
        outcomes: Sequence[tuple[PairVerdict, str]],
        singles: Sequence[SingleVerdict],
    ) -> list[str]:
        flags = {
            "order": any(order_mattered(pair) for pair, _outcome in outcomes),
            "judges": _judges_disagree(outcomes),
            "missing": any(outcome == ERROR for _pair, outcome in outcomes)
            or any(verdict.score is None for verdict in singles),
            "failed": any(
                bool(_why_missing(self._answers.get((question.id, name)), len(question.turns)))
                for name in self.chat_models
            ),
        }
        return [flag for flag, raised in flags.items() if raised]

    def _turn(self, question: Question, number: int) -> TurnView:
        singles = [verdict for verdict in self._singles[question.id] if verdict.turn == number]
        pairs = [pair for pair in self._pairs[question.id] if pair.turn == number]
        reference = question.reference or self._references.get(question.id, ())
        return TurnView(
            number=number,
            prompt=question.turns[number - 1],
            reference=reference[number - 1] if len(reference) >= number else "",
            answers=[
                self._answer(answer, number, singles)
                for name in self.chat_models
                if (answer := self._answers.get((question.id, name)))
            ],
            verdicts=[self._pair_view(pair) for pair in pairs] + [self._single_view(v) for v in singles],
        )

    def _answer(self, answer: Answer, turn: int, singles: Sequence[SingleVerdict]) -> AnswerView:
        return AnswerView(
            number=self._number[answer.chat_model],
            chat_model=answer.chat_model,
            text=answer.turns[turn - 1] if len(answer.turns) >= turn else "",
            missing=_why_missing(answer, turn),
            scores=[
                Score(verdict.judge, score_text(verdict.score))
                for verdict in singles
                if verdict.chat_model == answer.chat_model
            ],
        )

    def _pair_view(self, pair: PairVerdict) -> VerdictView:
        outcome = pair_outcome(pair)
        words = {TIE: _("Tie"), ERROR: _("No verdict")}.get(outcome) or _("%(name)s wins") % {"name": outcome}
        flags = ["order"] if order_mattered(pair) else ["missing"] if outcome == ERROR else []
        games = [
            (_("%(first)s shown first: %(winner)s") % {"first": first, "winner": _named(pair, winner)}, text)
            for first, winner, text in (
                (pair.model_1, pair.g1_winner, pair.g1_judgment),
                (pair.model_2, pair.g2_winner, pair.g2_judgment),
            )
            if text
        ]
        return VerdictView(
            outcome=words,
            judge=pair.judge,
            about=_("%(one)s against %(other)s") % {"one": pair.model_1, "other": pair.model_2},
            numbers=[self._number[pair.model_1], self._number[pair.model_2]],
            flag_names=[flag_name(flag) for flag in flags],
            explanations=games,
        )

    def _single_view(self, verdict: SingleVerdict) -> VerdictView:
        return VerdictView(
            outcome=score_text(verdict.score),
            judge=verdict.judge,
            about=verdict.chat_model,
            numbers=[self._number[verdict.chat_model]],
            flag_names=[flag_name("missing")] if verdict.score is None else [],
            explanations=[(_("What the judge wrote"), verdict.judgment)] if verdict.judgment else [],
        )


def opening(text: str) -> str:
    """The first words, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= OPENING_LENGTH else line[: OPENING_LENGTH - 1].rstrip() + "…"


def score_text(score: float | None) -> str:
    return _("no score") if score is None else f"{score:g}"


def pair_outcome(pair: PairVerdict) -> str:
    """The winning chat model's name, "tie" or "error", by the conservative rule: both games must agree."""
    return {"model_1": pair.model_1, "model_2": pair.model_2}.get(pair.winner, pair.winner)


def order_mattered(pair: PairVerdict) -> bool:
    return ERROR not in (pair.g1_winner, pair.g2_winner) and pair.g1_winner != pair.g2_winner


def _named(pair: PairVerdict, winner: str) -> str:
    return {"model_1": pair.model_1, "model_2": pair.model_2, TIE: _("tie")}.get(winner, _("no verdict"))


def _judges_disagree(outcomes: Sequence[tuple[PairVerdict, str]]) -> bool:
    said: Mapping[tuple[object, ...], set[str]] = defaultdict(set)
    for pair, outcome in outcomes:
        if outcome != ERROR:
            said[(*sorted((pair.model_1, pair.model_2)), pair.turn)].add(outcome)
    return any(len(different) > 1 for different in said.values())


def _why_missing(answer: Answer | None, turn: int) -> str:
    """For a model that answered only a part, the first missing turn counts."""
    if answer is None:
        return _("This chat model has not answered.")
    if len(answer.turns) < turn or not answer.turns[turn - 1].strip():
        return _("This answer is empty.")
    return ""


def _by_question(verdicts: Iterable[V]) -> Mapping[QuestionId, list[V]]:
    found: defaultdict[QuestionId, list[V]] = defaultdict(list)
    for verdict in verdicts:
        found[verdict.question_id].append(verdict)
    return found
