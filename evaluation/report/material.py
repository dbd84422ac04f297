"""Everything a report is made of: records and a few facts about the run. No database, no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from evaluation.records import Answer, PairVerdict, Question, QuestionId, SingleVerdict, TaskScore


@dataclass(frozen=True)
class Material:
    title: str
    questions: Sequence[Question]
    answers: Sequence[Answer]
    references: Sequence[Answer] = ()
    """Answers to compare with, where the questions have none of their own."""
    singles: Sequence[SingleVerdict] = ()
    pairs: Sequence[PairVerdict] = ()
    """What judges that are chat models said."""
    people: Sequence[PairVerdict] = ()
    """What people said about the same pairs; one game each, so both games hold the same verdict."""
    earlier_singles: Sequence[SingleVerdict] = ()
    """What the judges said of the same answers at an earlier time: how far they have drifted since."""
    earlier_pairs: Sequence[PairVerdict] = ()
    tasks: Sequence[TaskScore] = ()
    """What lm-evaluation-harness measured."""
    baseline: str = ""
    facts: Sequence[tuple[str, str]] = ()
    """Shown above the tables: when, which suite, what it cost."""

    @cached_property
    def chat_models(self) -> list[str]:
        """Each once, in order of its name; the baseline first, since all are compared with it."""
        names = {answer.chat_model for answer in self.answers}
        names |= {verdict.chat_model for verdict in self.singles}
        names |= {score.chat_model for score in self.tasks}
        names |= {name for pair in self.all_pairs for name in (pair.model_1, pair.model_2)}
        return sorted(names, key=lambda name: (name != self.baseline, name))

    @cached_property
    def categories(self) -> list[str]:
        """In the suite's own order."""
        return list(dict.fromkeys(question.category for question in self.questions))

    @cached_property
    def all_pairs(self) -> list[PairVerdict]:
        return [*self.pairs, *self.people]

    @cached_property
    def category_of(self) -> dict[QuestionId, str]:
        return {question.id: question.category for question in self.questions}

    @cached_property
    def lengths(self) -> dict[tuple[QuestionId, str, int], int]:
        """Characters of each answer, by question, chat model and turn."""
        return {
            (answer.question_id, answer.chat_model, turn): len(text)
            for answer in self.answers
            for turn, text in enumerate(answer.turns, start=1)
        }

    def in_order(self) -> "Material":
        """Verdicts in an order of their own: sums in another order could differ in their last digit."""

        def single_place(verdict: SingleVerdict) -> tuple[str, int, str, str]:
            return str(verdict.question_id), verdict.turn, verdict.judge, verdict.chat_model

        def pair_place(pair: PairVerdict) -> tuple[str, int, str, str, str]:
            return str(pair.question_id), pair.turn, pair.judge, pair.model_1, pair.model_2

        return replace(
            self,
            singles=sorted(self.singles, key=single_place),
            pairs=sorted(self.pairs, key=pair_place),
            people=sorted(self.people, key=pair_place),
            earlier_singles=sorted(self.earlier_singles, key=single_place),
            earlier_pairs=sorted(self.earlier_pairs, key=pair_place),
        )

    @property
    def judges(self) -> list[str]:
        return sorted({v.judge for v in self.singles} | {v.judge for v in self.pairs})

    def renamed(self, names: Mapping[str, str]) -> "Material":
        """The same with other names for chat models; those that `names` does not know keep theirs."""

        def name(old: str) -> str:
            return names.get(old, old)

        def singles(verdicts: Sequence[SingleVerdict]) -> list[SingleVerdict]:
            return [replace(verdict, chat_model=name(verdict.chat_model)) for verdict in verdicts]

        def pairs(verdicts: Sequence[PairVerdict]) -> list[PairVerdict]:
            return [replace(v, model_1=name(v.model_1), model_2=name(v.model_2)) for v in verdicts]

        return replace(
            self,
            answers=[replace(answer, chat_model=name(answer.chat_model)) for answer in self.answers],
            singles=singles(self.singles),
            pairs=pairs(self.pairs),
            people=pairs(self.people),
            tasks=[replace(score, chat_model=name(score.chat_model)) for score in self.tasks],
            earlier_singles=singles(self.earlier_singles),
            earlier_pairs=pairs(self.earlier_pairs),
            baseline=name(self.baseline),
        )


def merged(title: str, parts: Sequence[Material], facts: Sequence[tuple[str, str]] = ()) -> Material:
    """One material of several on the same questions. A chat model of two parts must have a name for each."""
    first = parts[0]
    if any(part.questions != first.questions for part in parts):
        raise ValueError("These evaluations asked different questions: their numbers do not compare.")
    return Material(
        title=title,
        questions=first.questions,
        references=first.references,
        answers=[answer for part in parts for answer in part.answers],
        singles=[verdict for part in parts for verdict in part.singles],
        pairs=[pair for part in parts for pair in part.pairs],
        people=[pair for part in parts for pair in part.people],
        tasks=[score for part in parts for score in part.tasks],
        earlier_singles=[verdict for part in parts for verdict in part.earlier_singles],
        earlier_pairs=[pair for part in parts for pair in part.earlier_pairs],
        facts=facts,
    )
