"""One question to a judge, from the records to messages and back to a verdict. Values in, values out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.judges import parsing, prompts
from evaluation.judges.prompts import JudgePrompt
from evaluation.records import Answer, Question
from workers.protocol import ChatMessage

SINGLE_AGAIN = (
    "Your answer holds no grade. Reply with the grade only, as a number from 1 to 10 in double brackets."
)
PAIR_AGAIN = "Your answer holds no verdict. Reply with [[A]], [[B]] or [[C]] only."
BY_PLACE = {"A": "model_1", "B": "model_2", "tie": "tie"}
BY_PLACE_SWAPPED = {"A": "model_2", "B": "model_1", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class Asked:
    messages: tuple[ChatMessage, ...]
    prompt_name: str
    pair: bool
    swapped: bool = False

    @property
    def user_prompt(self) -> str:
        return self.messages[-1].content if self.messages else ""

    @classmethod
    def nothing(cls) -> "Asked":
        return cls((), "", pair=False)


@dataclass(frozen=True, slots=True)
class Read:
    """A verdict. Either a score or a winner, in the order of model 1 and model 2 whichever was shown first."""

    score: float | None = None
    winner: str = ""


def ask(
    question: Question,
    answers: Sequence[Answer],
    *,
    turn: int,
    swapped: bool = False,
    from_file: Mapping[str, JudgePrompt] | None = None,
) -> Asked:
    """The prompt for one answer (a grade) or two (a comparison), up to turn `turn` (from 1).

    Our own prompts, unless there are some `from_file`.
    """
    prompt = prompts.choose("pair" if len(answers) == 2 else "single", question, turn, from_file)
    shown = list(reversed(answers)) if swapped else list(answers)
    system, user = prompts.render(prompt, question, shown)
    # FastChat's single prompts have no system text: it is part of what the user says.
    messages = (*([ChatMessage("system", system)] if system else []), ChatMessage("user", user))
    return Asked(messages, prompt.name, pair=prompt.kind == "pair", swapped=swapped)


def once_more(asked: Asked, text: str) -> tuple[ChatMessage, ...]:
    """The messages that ask a judge, which answered `text`, for the verdict alone."""
    again = PAIR_AGAIN if asked.pair else SINGLE_AGAIN
    return (*asked.messages, ChatMessage("assistant", text or "…"), ChatMessage("user", again))


def schema(*, pair: bool) -> Mapping[str, Any]:
    return parsing.PAIR_SCHEMA if pair else parsing.SINGLE_SCHEMA


def read(asked: Asked, text: str) -> Read | None:
    """The verdict in the judge's words; None when there is none, which is no verdict of any kind."""
    return read_pair(text, swapped=asked.swapped) if asked.pair else read_single(text)


def read_single(text: str) -> Read | None:
    score = parsing.score(text)
    return None if score is None else Read(score=score)


def read_pair(text: str, *, swapped: bool) -> Read | None:
    place = parsing.choice(text)
    return Read(winner=(BY_PLACE_SWAPPED if swapped else BY_PLACE)[place]) if place else None
