"""A set of questions with a name, and what a judge has to know about it."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.formats import fastchat
from evaluation.judges import temperatures
from evaluation.judges.prompts import REFERENCED_CATEGORIES
from evaluation.records import Question


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    version: str
    """Empty for other people's files; the digest tells their versions apart."""
    questions: tuple[Question, ...]
    remarks: tuple[str, ...] = ()
    """What the reader should know, for example which references were left out. In sentences."""

    @property
    def digest(self) -> str:
        """SHA-256 over the questions in their order: two suites with the same digest ask the same."""
        rows = [fastchat.question_row(question) for question in self.questions]
        said = json.dumps(rows, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def categories(self) -> Mapping[str, int]:
        """Questions of each category, in the order in which they come first."""
        return Counter(question.category for question in self.questions)

    @property
    def referenced_categories(self) -> frozenset[str]:
        """Categories in which a judge is shown the reference answers."""
        return frozenset(
            question.category
            for question in self.questions
            if question.reference and question.category.lower() in REFERENCED_CATEGORIES
        )

    def temperature(self, question: Question) -> float:
        """How freely a chat model answers this question."""
        return temperatures.of(question)
