"""Reading votes from files, for the import. Pure: lines in, votes and refusals out; nothing is guessed.

Formats, each recognised by its own fields:

* LLMFAO's CSV (https://github.com/dustalov/llmfao): id, prompt, worker, winner, left, right; the answers come from its
  `pairs-crowd.jsonl`, by the same `id`;
* plain CSV: left, right, winner, and if present id, voter, language, category, prompt, left_answer,
  right_answer, created_at;
* arena rows as JSON lines or one JSON list (FastChat's `clean_battle`, LMSYS' `chatbot_arena_conversations` and
  `arena-human-preference`): model_a, model_b, winner, and if present question_id or id, judge, language, tstamp,
  conversation_a, conversation_b, prompt, response_a, response_b.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

FORMATS = ("llmfao", "csv", "arena")
LEFT, RIGHT, TIE, BOTH_BAD = "left", "right", "tie", "both_bad"
WINNERS = {
    "left": LEFT,
    "model_a": LEFT,
    "a": LEFT,
    "right": RIGHT,
    "model_b": RIGHT,
    "b": RIGHT,
    "tie": TIE,
    "tie (bothbad)": BOTH_BAD,
    "both_bad": BOTH_BAD,
    "bothbad": BOTH_BAD,
}
MOST_NAME = 200
Row = Mapping[str, Any]


class Turn(NamedTuple):
    prompt: str
    left: str
    right: str


class FileVote(NamedTuple):
    """One vote as it stands in a file."""

    external_id: str
    """Unique within the file and the same whenever it is read, so that a second import finds what is there."""
    left: str
    right: str
    choice: str
    voter: str = ""
    language: str = ""
    categories: tuple[str, ...] = ()
    prompt: str = ""
    """What is known of the first prompt: its text, or a name for it."""
    turns: tuple[Turn, ...] = ()
    created_at: datetime | None = None


class Rejected(NamedTuple):
    """A row that is not a vote, and why."""

    line: int
    """From 1; of a JSON list, the position in it."""
    reason: str
    row: Row


class Unreadable(Exception):  # noqa: N818 - reads as what it is
    """The whole file is not what it should be. Its text is a sentence for the operator."""


class _NoVote(Exception):  # noqa: N818
    """This row is not a vote; the reason."""


def recognise(path: Path) -> str:
    """One of `FORMATS`. Raises `Unreadable`."""
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        return "arena"
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = next(csv.reader(file), [])
    if {"worker", "winner", "left", "right"} <= set(head):
        return "llmfao"
    if {"left", "right", "winner"} <= set(head):
        return "csv"
    raise Unreadable(
        f"{path.name} has no columns left, right and winner, nor is it JSON. Name its format with --format."
    )


def read(path: Path, kind: str, answers: Path | None = None) -> Iterator[FileVote | Rejected]:
    """The file's votes in its order. Raises `Unreadable`."""
    known = read_answers(answers) if answers else {}
    parse: Callable[[Row], FileVote] = {"llmfao": _llmfao, "csv": _plain, "arena": _arena}[kind]
    seen: Counter[str] = Counter()
    try:
        for line, row in _json_rows(path) if kind == "arena" else _csv_rows(path):
            try:
                vote = parse(row)
            except _NoVote as reason:
                yield Rejected(line, str(reason), row)
                continue
            seen[vote.external_id] += 1
            # People may say the same thing twice; the second one's id says that it is the second.
            again = seen[vote.external_id]
            vote = vote._replace(external_id=f"{vote.external_id}#{again}") if again > 1 else vote
            yield _answered(vote, row, known)
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path.name} is not text in UTF-8 (byte {error.start}).") from error
    except csv.Error as error:
        raise Unreadable(f"{path.name} is no CSV: {error}.") from error


def read_answers(path: Path) -> dict[str, Row]:
    """LLMFAO's pairs by their id. Raises `Unreadable`."""
    found = {}
    for line, row in _json_rows(path):
        if not {"id", "text", "result_x", "result_y"} <= row.keys():
            raise Unreadable(f"{path.name}, line {line}: a pair needs id, text, result_x and result_y.")
        found[str(row["id"])] = row
    return found


def _llmfao(row: Row) -> FileVote:
    item, worker = _text(row, "id"), _text(row, "worker")
    sides = _sides(row, "left", "right")
    return FileVote(
        external_id=f"{item}/{worker}",
        left=sides.left,
        right=sides.right,
        choice=sides.choice,
        voter=worker,
        prompt=f"prompt {_text(row, 'prompt')}",
    )


def _plain(row: Row) -> FileVote:
    turn = Turn(_text(row, "prompt"), _text(row, "left_answer"), _text(row, "right_answer"))
    category = _text(row, "category")
    sides = _sides(row, "left", "right")
    voter = _text(row, "voter")
    identity = _text(row, "id") or "/".join((sides.left, sides.right, sides.choice, voter))
    return FileVote(
        external_id=identity[:MOST_NAME],
        left=sides.left,
        right=sides.right,
        choice=sides.choice,
        voter=voter,
        language=_text(row, "language"),
        categories=(category,) if category else (),
        prompt=turn.prompt,
        turns=(turn,) if turn.left or turn.right else (),
        created_at=_moment(row.get("created_at")),
    )


def _arena(row: Row) -> FileVote:
    sides = _sides(row, "model_a", "model_b")
    voter = _text(row, "judge") or _text(row, "user_id")
    turns = _conversation(row)
    identity = next((_text(row, key) for key in ("question_id", "id", "battle_id") if _text(row, key)), "")
    moment = row.get("tstamp") or row.get("timestamp")
    return FileVote(
        external_id=(identity or f"{sides.left}/{sides.right}/{voter}/{moment}")[:MOST_NAME],
        left=sides.left,
        right=sides.right,
        choice=sides.choice,
        voter=voter,
        language=_text(row, "language"),
        categories=("coding",) if row.get("is_code") is True else (),
        prompt=turns[0].prompt if turns else "",
        turns=turns,
        created_at=_moment(moment),
    )


def _answered(vote: FileVote, row: Row, known: Mapping[str, Row]) -> FileVote:
    """With the answers of the pair the vote is on: LLMFAO's `model_x` is the one named on the left."""
    pair = known.get(str(row.get("id", "")))
    if pair is None or vote.turns:
        return vote
    prompt = str(pair["text"])
    kind = str(pair.get("type") or "")
    turn = Turn(prompt, str(pair["result_x"]), str(pair["result_y"]))
    return vote._replace(turns=(turn,), prompt=prompt, categories=(kind,) if kind else vote.categories)


class _Sides(NamedTuple):
    left: str
    right: str
    choice: str


def _sides(row: Row, left: str, right: str) -> _Sides:
    names = (_text(row, left), _text(row, right))
    for field, name in zip((left, right), names, strict=True):
        if not name:
            raise _NoVote(f"{field} is missing")
        if len(name) > MOST_NAME:
            raise _NoVote(f"{field} is longer than {MOST_NAME} characters")
    if names[0] == names[1]:
        raise _NoVote(f"{names[0]} is on both sides")
    label = _text(row, "winner") or _flags(row)
    if label.lower() not in WINNERS:
        raise _NoVote(f"unknown winner {label[:50]!r}; known are {', '.join(sorted(WINNERS))}")
    return _Sides(*names, WINNERS[label.lower()])


def _flags(row: Row) -> str:
    """The 55k shape has three columns of 0 and 1 for the winner."""
    for key, label in (("winner_model_a", "model_a"), ("winner_model_b", "model_b"), ("winner_tie", "tie")):
        if str(row.get(key, "")) == "1":
            return label
    return ""


def _conversation(row: Row) -> tuple[Turn, ...]:
    left, right = row.get("conversation_a"), row.get("conversation_b")
    if isinstance(left, list) and isinstance(right, list):
        said = [_said(side) for side in (left, right)]
        return tuple(
            Turn(ask, mine, other) for (ask, mine), (_, other) in zip(said[0], said[1], strict=False)
        )
    prompt, mine, other = row.get("prompt"), row.get("response_a"), row.get("response_b")
    return (Turn(str(prompt or ""), str(mine or ""), str(other or "")),) if mine or other else ()


def _said(messages: list[Any]) -> list[tuple[str, str]]:
    """(prompt, answer) of each turn."""
    found: list[tuple[str, str]] = []
    ask = ""
    for message in messages:
        role, content = (
            (message.get("role"), message.get("content")) if isinstance(message, dict) else ("", "")
        )
        if role == "user":
            ask = str(content or "")
        elif role == "assistant":
            found.append((ask, str(content or "")))
    return found


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    return "" if value is None or isinstance(value, (dict, list)) else str(value).strip()


def _moment(value: object) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        raise _NoVote(f"{str(value)[:40]!r} is no time: give seconds or 2026-11-24T12:00:00+00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            yield reader.line_num, row


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """JSON lines, or one list. A list is read whole."""
    with path.open(encoding="utf-8-sig") as file:
        first = file.read(1)
        file.seek(0)
        try:
            rows = enumerate(json.load(file) if first == "[" else map(json.loads, file), start=1)
            for number, row in rows:
                if not isinstance(row, dict):
                    raise Unreadable(f"{path.name}, line {number}: {{…}} was expected.")
                yield number, row
        except json.JSONDecodeError as error:
            raise Unreadable(f"{path.name} is no JSON: {error}.") from error
