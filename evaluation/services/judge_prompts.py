"""Judge prompts from a file in FastChat's format, kept with the run that uses them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.errors import CannotEvaluate
from evaluation.formats import jsonl
from evaluation.judges import prompts
from evaluation.judges.prompts import JudgePrompt
from evaluation.models import EvaluationRun
from evaluation.records import Question

Rows = Sequence[Mapping[str, Any]]

PARAMETER = "judge_prompts"
"""Of a run: the records as the file has them. Without it the judges are shown our own prompts."""


def read(path: Path) -> list[dict[str, Any]]:
    """The records of the file. Raises `CannotEvaluate` naming file and line."""
    try:
        lines = path.read_text("utf-8").split("\n")
        records = [dict(row.rest) for row in jsonl.rows(lines, str(path))]
        found = [prompts.of_record(row) for row in jsonl.rows(lines, str(path))]
    except (OSError, ValueError) as error:  # FormatError and UnicodeDecodeError are ValueErrors
        raise CannotEvaluate("prompts", str(error)) from None
    names = [prompt.name for prompt in found]
    if not names:
        raise CannotEvaluate("prompts", f"{path}: there are no prompts in it.")
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise CannotEvaluate("prompts", f"{path}: the prompt {repeated} is there twice; remove one of them.")
    return records


def of(run: EvaluationRun) -> dict[str, JudgePrompt] | None:
    """The prompts of the run's own file; None when it is judged with ours."""
    rows = run.parameters.get(PARAMETER)
    return _named(rows) if rows else None


def check(*, rows: Rows, pair: bool, questions: Sequence[Question]) -> None:
    """Raises `CannotEvaluate` when a turn of a question has no prompt that fits."""
    named = _named(rows)
    for question in questions:
        for turn in range(1, len(question.turns) + 1):
            try:
                prompts.choose("pair" if pair else "single", question, turn, named)
            except ValueError as error:
                raise CannotEvaluate("prompts", f"{error} Question {question.id} needs one.") from None


def _named(rows: Rows) -> dict[str, JudgePrompt]:
    read_rows = (jsonl.Row("judge prompts", number, row) for number, row in enumerate(rows, start=1))
    return {prompt.name: prompt for prompt in map(prompts.of_record, read_rows)}
