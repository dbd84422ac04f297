"""What an evaluation is made of, as values: questions, answers, verdicts. No storage, no Django.

The names of places follow the MT-bench paper (arXiv 2306.05685): a *single* verdict scores one answer, a *pair* verdict
comes from two games on the same two answers, the second with their places swapped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

QuestionId: TypeAlias = int | str
Winner: TypeAlias = Literal["model_1", "model_2", "tie", "error"]
"""Of one game, by name and not by place: who was shown first in it does not matter any more."""

WINNERS: tuple[Winner, ...] = ("model_1", "model_2", "tie", "error")


@dataclass(frozen=True, slots=True)
class Question:
    """One entry of a suite. A chat model is asked its turns one after the other, in one conversation."""

    id: QuestionId
    category: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] = ()
    """What a judge may compare with, turn by turn; empty where there is none."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Whatever else its file says; written out again as it was."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a chat model said to each turn of a question."""

    question_id: QuestionId
    chat_model: str
    turns: tuple[str, ...]
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SingleVerdict:
    """A judge's score of one answer, up to a turn."""

    question_id: QuestionId
    chat_model: str
    judge: str
    turn: int
    """From 1."""
    score: float | None
    """None when the judge gave none: counted as an error, never as a score."""
    judgment: str = ""
    """What the judge said."""
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """A judge's two games on the answers of two chat models; in the second game model_2's answer is shown first."""

    question_id: QuestionId
    model_1: str
    model_2: str
    judge: str
    turn: int
    """From 1."""
    g1_winner: Winner
    g2_winner: Winner
    g1_judgment: str = ""
    g2_judgment: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def winner(self) -> Winner:
        """The conservative rule: who won both games, else nobody did; an error in either leaves no verdict."""
        if "error" in (self.g1_winner, self.g2_winner):
            return "error"
        return self.g1_winner if self.g1_winner == self.g2_winner else "tie"


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One number of lm-evaluation-harness: a chat model's metric on a task, without any judge."""

    chat_model: str
    task: str
    metric: str
    """For example `acc_norm`; with the harness's filter behind a comma where it is not `none`."""
    value: float
    stderr: float | None = None
    """Standard error of `value`; None where the harness gives none."""
    samples: int | None = None
    higher_is_better: bool | None = None
    version: str = ""
    """Of the task."""
