"""A report's material from FastChat's files, and back.

Kinds of rows are told apart by their fields; folders only tell references from answers, and people from judges.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evaluation.formats import arena_hard, fastchat, jsonl, lm_eval
from evaluation.formats.jsonl import FormatError
from evaluation.records import Answer, PairVerdict, Question, QuestionId, SingleVerdict, TaskScore
from evaluation.report.material import Material

ABOUT: Final = "about.json"
"""Title, baseline and facts, which FastChat's files have no place for."""

PEOPLE: Final = "human_judgment"
REFERENCES: Final = "reference_answer"
EARLIER: Final = "earlier_judgment"
"""What the same judges said of the same answers at an earlier time."""


@dataclass
class Found:
    """The records of all files, as they come."""

    questions: list[Question] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    references: list[Answer] = field(default_factory=list)
    singles: list[SingleVerdict] = field(default_factory=list)
    pairs: list[PairVerdict] = field(default_factory=list)
    people: list[PairVerdict] = field(default_factory=list)
    earlier_singles: list[SingleVerdict] = field(default_factory=list)
    earlier_pairs: list[PairVerdict] = field(default_factory=list)
    tasks: list[TaskScore] = field(default_factory=list)


def read(paths: Sequence[Path]) -> Material:
    """The material of files and of folders with everything beneath them.

    Raises FileNotFoundError for a path that is not there, `FormatError` for a line that cannot be used.
    """
    found = Found()
    about: Mapping[str, Any] = {}
    for path in _files(paths):
        if path.name == ABOUT:
            about = json.loads(path.read_text("utf-8"))
        else:
            _read_file(path, found)
    _check_unique(found)
    return Material(
        title=str(about.get("title") or paths[0].resolve().name),
        questions=found.questions or _questions_of(found),
        references=found.references,
        answers=found.answers,
        # FastChat appends when it is run again: the last verdict holds.
        singles=fastchat.newest(found.singles, _single_key),
        pairs=fastchat.newest(found.pairs, _pair_key),
        people=fastchat.newest(found.people, _pair_key),
        earlier_singles=fastchat.newest(found.earlier_singles, _single_key),
        earlier_pairs=fastchat.newest(found.earlier_pairs, _pair_key),
        tasks=found.tasks,
        baseline=str(about.get("baseline", "")),
        facts=[(str(name), str(value)) for name, value in about.get("facts", [])],
    )


def raw(material: Material) -> dict[str, str]:
    """The texts of FastChat's files by path, and what they have no place for."""
    written: dict[str, str] = {}

    def put(folder: str, name: str, ending: str, rows: Iterable[Mapping[str, object]]) -> None:
        path = _free(written, folder, name, ending)
        written[path] = "".join(jsonl.line(row) + "\n" for row in rows)

    put("", "question", "", map(fastchat.question_row, material.questions))
    for name, answers in _grouped(material.answers, lambda answer: answer.chat_model).items():
        put("model_answer", name, "", map(fastchat.answer_row, answers))
    for name, answers in _grouped(material.references, lambda answer: answer.chat_model).items():
        put(REFERENCES, name, "", map(fastchat.answer_row, answers))
    for folder, all_singles, all_pairs in (
        ("model_judgment", material.singles, material.pairs),
        (EARLIER, material.earlier_singles, material.earlier_pairs),
    ):
        for judge, singles in _grouped(all_singles, lambda verdict: verdict.judge).items():
            put(folder, judge, "_single", map(fastchat.single_row, singles))
        for judge, pairs in _grouped(all_pairs, lambda verdict: verdict.judge).items():
            put(folder, judge, "_pair", map(fastchat.pair_row, pairs))
    if material.tasks:
        put("", "task_scores", "", map(lm_eval.row, material.tasks))
    if material.people:
        put(PEOPLE, "people", "_pair", map(fastchat.pair_row, material.people))
    about = {
        "title": material.title,
        "baseline": material.baseline,
        "facts": [list(f) for f in material.facts],
    }
    written[ABOUT] = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
    return written


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(path.rglob("*.jsonl"))
            files += [path / ABOUT] if (path / ABOUT).is_file() else []
        elif path.is_file():
            files.append(path)
        else:
            raise FileNotFoundError(f"{path}: there is no such file or folder.")
    if not files:
        raise FileNotFoundError(f"{paths[0]} holds no .jsonl file.")
    return files


def _read_file(path: Path, found: Found) -> None:
    try:
        lines = path.read_text("utf-8").split("\n")  # not splitlines: JSON may hold U+2028 as it is
    except UnicodeDecodeError as error:
        raise FormatError(str(path), 1, f"this is not UTF-8 text ({error.reason})") from None
    first = next((_fields(line) for line in lines if line.strip()), {})
    source = str(path)
    if "choices" in first:
        into = found.references if path.parent.name == REFERENCES else found.answers
        into += fastchat.read_answers(lines, source)
    elif "games" in first:
        found.pairs += arena_hard.read_pair_verdicts(lines, source)
    elif fastchat.is_pair_row(first):
        pairs = {PEOPLE: found.people, EARLIER: found.earlier_pairs}.get(path.parent.name, found.pairs)
        pairs += fastchat.read_pair_verdicts(lines, source)
    elif "metric" in first:
        found.tasks += [lm_eval.of_row(row) for row in jsonl.rows(lines, source)]
    elif "score" in first:
        singles = found.earlier_singles if path.parent.name == EARLIER else found.singles
        singles += fastchat.read_single_verdicts(lines, source)
    elif first or lines:
        found.questions += fastchat.read_questions(lines, source)


def _fields(line: str) -> dict[str, Any]:
    """Of a line that may be anything; whoever reads the file says what is wrong with it."""
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _check_unique(found: Found) -> None:
    """Each file is free of doubles already; two files may still say the same."""
    for kind, keys in (
        ("question", [str(question.id) for question in found.questions]),
        ("answer", [f"{answer.question_id} of {answer.chat_model}" for answer in found.answers]),
    ):
        seen: set[str] = set()
        for key in keys:
            if key in seen:
                raise ValueError(f"The {kind} {key} is in two of the files. Leave one of them out.")
            seen.add(key)


def _single_key(verdict: SingleVerdict) -> tuple[object, ...]:
    return verdict.judge, verdict.question_id, verdict.turn, verdict.chat_model


def _pair_key(verdict: PairVerdict) -> tuple[object, ...]:
    return verdict.judge, verdict.question_id, verdict.turn, verdict.model_1, verdict.model_2


def _questions_of(found: Found) -> list[Question]:
    """For judgments without their questions: ids and turns are known, texts are not."""
    turns: defaultdict[QuestionId, int] = defaultdict(int)
    for answer in found.answers:
        turns[answer.question_id] = max(turns[answer.question_id], len(answer.turns))
    verdicts: list[SingleVerdict | PairVerdict] = [*found.singles, *found.pairs, *found.people]
    for verdict in verdicts:
        turns[verdict.question_id] = max(turns[verdict.question_id], verdict.turn)
    return [Question(id=key, category="", turns=("",) * count) for key, count in turns.items()]


def _grouped(records: Iterable[Any], key: Callable[[Any], str]) -> dict[str, list[Any]]:
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return dict(sorted(groups.items()))


def _free(taken: Mapping[str, str], folder: str, name: str, ending: str) -> str:
    """A path for this name that no other name has; a name may hold what a file's must not."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:100] or "_"
    stem, number = f"{folder}/{safe}" if folder else safe, 1
    path = f"{stem}{ending}.jsonl"
    while path.lower() in {each.lower() for each in taken}:
        number += 1
        path = f"{stem}-{number}{ending}.jsonl"
    return path
