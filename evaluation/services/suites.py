"""The questions of a run: loaded once, then kept as they are, however their file changes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.errors import CannotEvaluate
from evaluation.models import SuiteSnapshot
from evaluation.records import Question


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    version: str
    questions: tuple[Question, ...]


def load(source: str) -> Suite:
    """A suite from a JSONL file. Raises `CannotEvaluate` naming file and line."""
    path = Path(source)
    if not path.is_file():
        raise CannotEvaluate("suite", f"{source}: there is no such suite or file.")
    questions: dict[str, Question] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotEvaluate("suite", f"{source} cannot be read as UTF-8 text: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        question = _question(line, f"{source}, line {number}")
        if str(question.id) in questions:
            raise CannotEvaluate(
                "suite", f"{source}, line {number}: question {question.id} is there already."
            )
        questions[str(question.id)] = question
    return Suite(path.stem, "", tuple(questions.values()))


def _question(line: str, where: str) -> Question:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CannotEvaluate("suite", f"{where}: not JSON ({error}).") from None
    if not isinstance(row, dict) or not isinstance(row.get("question_id"), int | str):
        raise CannotEvaluate("suite", f"{where}: an object with question_id, category and turns is expected.")
    turns = row.get("turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) and turn for turn in turns):
        raise CannotEvaluate("suite", f"{where}: turns must be a list of texts, at least one.")
    reference = row.get("reference") or []
    if not isinstance(reference, list) or not all(isinstance(text, str) for text in reference):
        raise CannotEvaluate("suite", f"{where}: reference must be a list of texts.")
    return Question(row["question_id"], str(row.get("category", "")), tuple(turns), tuple(reference))


def keep(*, suite: Suite, questions: Sequence[Question]) -> SuiteSnapshot:
    """The row that holds exactly these questions, made when there is none."""
    rows = [as_row(question) for question in questions]
    said = json.dumps([suite.name, suite.version, rows], sort_keys=True)
    content_hash = hashlib.sha256(said.encode()).hexdigest()
    snapshot, _ = SuiteSnapshot.objects.get_or_create(
        content_hash=content_hash,
        defaults={"name": suite.name[:200], "version": suite.version[:64], "questions": rows},
    )
    return snapshot


def as_row(question: Question) -> dict[str, Any]:
    """The question as FastChat's question.jsonl has it."""
    row: dict[str, Any] = {
        "question_id": question.id,
        "category": question.category,
        "turns": list(question.turns),
    }
    return {**row, "reference": list(question.reference)} if question.reference else row
