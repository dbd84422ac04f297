"""What a judge is shown: our own prompts, or FastChat's records from a file (`judge_prompts.jsonl`).

A prompt's template is filled by plain replacement of its known names in one pass, so that braces or placeholders in an
answer stay what they are.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.formats.jsonl import Row
from evaluation.records import Answer, Question

Kind = Literal["single", "pair"]

REFERENCED_CATEGORIES = frozenset({"math", "maths", "reasoning", "coding", "arena-hard-200"})
"""Where a judge that knows the right answer judges far better (MT-bench paper, table 4)."""

_TASKS: dict[Kind, str] = {
    "single": "You grade the answer of an AI assistant.",
    "pair": "You compare the answers of two AI assistants.",
}
_CRITERIA = (
    "Judge how well the answer does what was asked: is it correct, to the point, complete and clear? "
    "Length and decoration are worth nothing by themselves."
)
_REFERENCE = (
    "A reference answer is given and can be taken as correct. Find each mistake by comparing with it first."
)
_LATER = "Earlier turns are context. Judge the last answer only, and whether it fits what was said before."
_SCORE_FORM = (
    "Explain your judgment in a few sentences. Then end with one line of the form [[score]] with a whole number from "
    "1 (useless) to 10 (could not be better), for example [[6]]."
)
_PAIR_FORM = (
    "Compare the two in a few sentences. Their order is random and says nothing. Then end with one line that is "
    "[[A]] if A's is better, [[B]] if B's is better, or [[C]] if neither is."
)


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    name: str
    kind: Kind
    system: str
    template: str
    referenced: bool
    """Whether it shows reference answers."""
    turns: int
    """Turns of the conversation it shows."""

    @property
    def digest(self) -> str:
        """Of all that the judge is told: verdicts of another wording are other verdicts."""
        return hashlib.sha256("\0".join([self.system, self.template]).encode()).hexdigest()[:16]


def choose(
    kind: Kind, question: Question, turn: int, prompts: Mapping[str, JudgePrompt] | None = None
) -> JudgePrompt:
    """The prompt for a question's `turn` (from 1), of `prompts` or of our own.

    Of prompts from a file the one that fits is taken: same kind, as many turns, with references where the category
    wants them and the question has one. Raises ValueError when the file has none.
    """
    referenced = question.category.lower() in REFERENCED_CATEGORIES and len(question.reference) >= turn
    if prompts is None:
        return own(kind, turn, referenced=referenced)
    for wanted in (referenced, False):
        for prompt in prompts.values():
            if (prompt.kind, prompt.turns, prompt.referenced) == (kind, turn, wanted):
                return prompt
    raise ValueError(f"The prompt file has none for {kind} verdicts on turn {turn}.")


def own(kind: Kind, turn: int, *, referenced: bool) -> JudgePrompt:
    """Our own prompt, for any number of turns."""
    task = (
        "You grade the answer of an AI assistant."
        if kind == "single"
        else "You compare the answers of two AI assistants."
    )
    parts = [task, _CRITERIA, *([_REFERENCE] if referenced else []), *([_LATER] if turn > 1 else [])]
    form = _SCORE_FORM if kind == "single" else _PAIR_FORM
    name = f"chatsite-{kind}{'-reference' if referenced else ''}{f'-turn-{turn}' if turn > 1 else ''}"
    return JudgePrompt(
        name, kind, " ".join([*parts, form]), _template(kind, turn, referenced=referenced), referenced, turn
    )


def render(prompt: JudgePrompt, question: Question, answers: Sequence[Answer]) -> tuple[str, str]:
    """(system, user) for one answer, or for two in the order in which they are to be shown.

    Raises ValueError when an answer has too few turns.
    """
    wanted = 1 if prompt.kind == "single" else 2
    if len(answers) != wanted:
        raise ValueError(f"{prompt.name} shows {wanted} answers, not {len(answers)}")
    values = {"question": question.turns[prompt.turns - 1] if prompt.turns == 1 else question.turns[0]}
    for number in range(prompt.turns):
        values[f"question_{number + 1}"] = question.turns[number]
        values[f"ref_answer_{number + 1}"] = (
            question.reference[number] if number < len(question.reference) else ""
        )
    for letter, answer in zip(("a", "b"), answers, strict=False):
        if len(answer.turns) < prompt.turns:
            raise ValueError(
                f"{answer.chat_model} has no answer to turn {prompt.turns} of question {question.id}"
            )
        values[f"answer_{letter}"] = answer.turns[0]
        values |= {f"answer_{letter}_{n + 1}": answer.turns[n] for n in range(prompt.turns)}
    if prompt.kind == "single":
        values |= {"answer": answers[0].turns[0]}
        values |= {f"answer_{n + 1}": answers[0].turns[n] for n in range(prompt.turns)}
    return prompt.system, _fill(prompt.template, values)


def of_record(row: Row) -> JudgePrompt:
    """A record of FastChat's `judge_prompts.jsonl`."""
    name = row.take("name", str, "the prompt's name")
    kinds: dict[str, Kind] = {"single": "single", "pairwise": "pair"}
    kind = row.take("type", str, "single or pairwise")
    if kind not in kinds:
        raise row.error(f"type is {kind!r}; it must be single or pairwise")
    template = row.take("prompt_template", str, "the text with its placeholders")
    system = row.take("system_prompt", str, "a text")
    turns = max((int(number) for number in re.findall(r"\{question_(\d)\}", template)), default=1)
    return JudgePrompt(name, kinds[kind], system, template, "{ref_answer_" in template, turns)


def _template(kind: Kind, turn: int, *, referenced: bool) -> str:
    parts = [_section("reference", turn, "reference", "ref_answer")] if referenced else []
    if kind == "single":
        parts.append(_section("conversation", turn, "assistant", "answer_a"))
    else:
        parts += [
            _section(f"conversation of {letter.upper()}", turn, "assistant", f"answer_{letter}")
            for letter in "ab"
        ]
    return "\n\n".join(parts)


def _section(title: str, turn: int, speaker: str, field: str) -> str:
    lines = [f"<{title}>"]
    for n in range(1, turn + 1):
        lines += [f"# Turn {n}, user", f"{{question_{n}}}", f"# Turn {n}, {speaker}", f"{{{field}_{n}}}"]
    return "\n".join([*lines, f"</{title}>"])


def _fill(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)
