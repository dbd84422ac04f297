"""Everything a report is made of: records and a few facts about the run. No database, no files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from evaluation.records import Answer, PairVerdict, Question, SingleVerdict


@dataclass(frozen=True)
class Material:
    title: str
    questions: Sequence[Question]
    answers: Sequence[Answer]
    singles: Sequence[SingleVerdict] = ()
    pairs: Sequence[PairVerdict] = ()
    """What judges that are chat models said."""
    people: Sequence[PairVerdict] = ()
    """What people said about the same pairs; one game each, so both games hold the same verdict."""
    baseline: str = ""
    facts: Sequence[tuple[str, str]] = ()
    """Shown above the tables: when, which suite, what it cost."""

    @cached_property
    def chat_models(self) -> list[str]:
        """Each once, in order of its name; the baseline first, since all are compared with it."""
        names = {answer.chat_model for answer in self.answers}
        names |= {verdict.chat_model for verdict in self.singles}
        names |= {name for pair in self.all_pairs for name in (pair.model_1, pair.model_2)}
        return sorted(names, key=lambda name: (name != self.baseline, name))

    @cached_property
    def categories(self) -> list[str]:
        """In the suite's own order."""
        return list(dict.fromkeys(question.category for question in self.questions))

    @cached_property
    def all_pairs(self) -> list[PairVerdict]:
        return [*self.pairs, *self.people]

    @property
    def judges(self) -> list[str]:
        return sorted({v.judge for v in self.singles} | {v.judge for v in self.pairs})

    def titled(self, title: str) -> "Material":
        return replace(self, title=title)
