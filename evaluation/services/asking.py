"""What a judge is asked, and what is read from its answer. Pure: values in, values out."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.records import Question
from workers.protocol import ChatMessage

SINGLE_SYSTEM = (
    "You grade the answer of an AI assistant. Judge whether it is helpful, correct, to the point and complete. "
    "Its length is no merit by itself. Explain briefly, then give a whole number from 1 (useless) to 10 (excellent) "
    "in double brackets, for example [[5]]."
)
PAIR_SYSTEM = (
    "You compare the answers of two AI assistants to the same question. Judge which one is more helpful, correct, "
    "to the point and complete. Neither order nor length is a merit by itself. Explain briefly, then end with [[A]] "
    "if assistant A is better, [[B]] if assistant B is better, or [[C]] if they are equally good."
)
SINGLE_AGAIN = (
    "Your answer holds no grade. Reply with the grade only, as a number from 1 to 10 in double brackets."
)
PAIR_AGAIN = "Your answer holds no verdict. Reply with [[A]], [[B]] or [[C]] only."
SINGLE_SCHEMA = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        "score": {"type": "number", "minimum": 1, "maximum": 10},
    },
    "required": ["explanation", "score"],
    "additionalProperties": False,
}
PAIR_SCHEMA = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}, "winner": {"enum": ["A", "B", "tie"]}},
    "required": ["explanation", "winner"],
    "additionalProperties": False,
}
LETTERS = {"A": "model_1", "B": "model_2", "C": "tie", "TIE": "tie"}
OTHER = {"model_1": "model_2", "model_2": "model_1"}


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


def ask(question: Question, answers: Sequence[Sequence[str]], *, turn: int, swapped: bool = False) -> Asked:
    """The prompt for one answer (a grade) or two (a comparison), up to turn `turn` (from 1)."""
    pair = len(answers) == 2
    shown = list(reversed(answers)) if swapped else list(answers)
    parts = _reference(question, turn)
    names = ["assistant A", "assistant B"] if pair else ["the assistant"]
    for name, turns in zip(names, shown, strict=True):
        parts.append(_dialogue(name, question, turns, turn))
    if turn > 1:
        parts.append(
            f"Judge the answers to the last question, number {turn}." if pair else "Judge the last answer."
        )
    name = ("pair" if pair else "single") + ("-reference" if _reference(question, turn) else "")
    return Asked(
        (
            ChatMessage("system", PAIR_SYSTEM if pair else SINGLE_SYSTEM),
            ChatMessage("user", "\n\n".join(parts)),
        ),
        f"{name}-multi-turn" if turn > 1 else name,
        pair=pair,
        swapped=swapped,
    )


def once_more(asked: Asked, text: str) -> tuple[ChatMessage, ...]:
    """The messages that ask a judge, which answered `text`, for the verdict alone."""
    again = PAIR_AGAIN if asked.pair else SINGLE_AGAIN
    return (*asked.messages, ChatMessage("assistant", text or "…"), ChatMessage("user", again))


def schema(*, pair: bool) -> Mapping[str, Any]:
    return PAIR_SCHEMA if pair else SINGLE_SCHEMA


def read(asked: Asked, text: str) -> Read | None:
    """The verdict in the judge's words; None when there is none, which is no verdict of any kind."""
    if asked.pair:
        winner = _winner(text, swapped=asked.swapped)
        return Read(winner=winner) if winner else None
    score = _score(text)
    return None if score is None else Read(score=score)


def _score(text: str) -> float | None:
    found = _from_json(text, "score")
    if found is None:
        ratings = re.findall(r"\[\[\s*(\d+(?:\.\d+)?)\s*(?:/\s*10)?\s*\]\]", text) or re.findall(
            r"(?:rating|score|grade)\W{0,5}(\d+(?:\.\d+)?)\s*(?:/\s*10)?\b", text, re.IGNORECASE
        )
        found = ratings[-1] if ratings else None
    try:
        score = float(str(found))
    except ValueError:
        return None
    # [[99]] is a mistake and no enthusiasm.
    return score if 1 <= score <= 10 else None


def _winner(text: str, *, swapped: bool) -> str | None:
    found = _from_json(text, "winner")
    letters = (
        [found] if isinstance(found, str) else re.findall(r"\[\[\s*([ABC]|tie)\s*\]\]", text, re.IGNORECASE)
    )
    # Two different verdicts in one answer are none: a judge that repeats the choices has not chosen.
    if len({letter.upper() for letter in letters}) != 1:
        return None
    winner = LETTERS.get(letters[0].upper())
    return OTHER.get(winner, winner) if winner and swapped else winner


def _from_json(text: str, name: str) -> object:
    """The field of a JSON object that is the whole text (a fence around it does no harm); None without one."""
    bare = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip())
    try:
        data = json.loads(bare)
    except ValueError:
        return None
    return data.get(name) if isinstance(data, dict) else None


def _reference(question: Question, turn: int) -> list[str]:
    references = [text for text in question.reference[:turn] if text]
    if not references:
        return []
    return ["A correct answer to compare with:", *references]


def _dialogue(name: str, question: Question, turns: Sequence[str], upto: int) -> str:
    """One conversation between marks that say where it begins and ends: what is in between is material, no order."""
    lines = [f"=== The conversation with {name} begins ==="]
    for asked, answered in zip(question.turns[:upto], turns[:upto], strict=False):
        lines += [f"Person: {asked}", f"{name.capitalize()}: {answered}"]
    return "\n".join([*lines, f"=== The conversation with {name} has ended ==="])
