"""How long `evaluate show` takes: made-up judgments, from their file to the last interval."""

import io
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from django.core.management import call_command

LIMIT = 10.0  # seconds for 100,000 judgments and 1,000 rounds
QUESTIONS, MODELS, CATEGORIES = 160, 26, 8
_WINNERS, _CHANCES = ("model_1", "model_2", "tie", "error"), (50, 30, 15, 5)


def measure(*, judgments: int, rounds: int, say: Callable[[str], None]) -> bool:
    """Say how long each mode takes; whether each stays below `LIMIT`, which grows with more judgments."""
    limit = LIMIT * max(1.0, judgments / 100_000)
    with tempfile.TemporaryDirectory() as folder:
        questions = Path(folder, "question.jsonl")
        _write(questions, _questions())
        outcomes = []
        for mode, rows in (("single", _singles(judgments)), ("pairwise-all", _pairs(judgments))):
            path = Path(folder, f"{mode}.jsonl")
            _write(path, rows)
            taken, busy = _timed(mode, [path, questions], rounds)
            say(
                f"{taken:>8.2f} s  {mode}: {judgments:,} judgments, {rounds:,} rounds; "
                f"{taken / limit:.2f} of the limit ({busy:.2f} s of processor time)"
            )
            outcomes.append(taken < limit)
    return all(outcomes)


def _timed(mode: str, files: list[Path], rounds: int) -> tuple[float, float]:
    """Seconds, and seconds of processor time: on a busy machine they are far apart."""
    started, busy = time.perf_counter(), time.process_time()
    call_command(
        "evaluate",
        "show",
        *("--mode", mode, "--judgments", *map(str, files), "--rounds", str(rounds)),
        stdout=io.StringIO(),
    )
    return time.perf_counter() - started, time.process_time() - busy


def _write(path: Path, rows: Iterator[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def _questions() -> Iterator[dict[str, object]]:
    for number in range(QUESTIONS):
        yield {"question_id": number, "category": f"category {number % CATEGORIES}", "turns": ["…", "…"]}


def _singles(count: int) -> Iterator[dict[str, object]]:
    """Each (question, turn, chat model) once: as many chat models as it takes."""
    chance = random.Random(1)  # noqa: S311 - made-up data, the same each time
    for number in range(count):
        question, turn, model = number % QUESTIONS, number // QUESTIONS % 2 + 1, number // QUESTIONS // 2
        score = -1 if chance.random() < 0.05 else chance.randint(1, 10)
        yield {
            "question_id": question,
            "model": f"model {model:03}",
            "judge": ["judge", "single"],
            "judgment": "A few words, and then [[7]]",
            "score": score,
            "turn": turn,
        }


def _pairs(count: int) -> Iterator[dict[str, object]]:
    """Each (question, turn, pair of chat models, judge) once: as many judges as it takes."""
    chance = random.Random(2)  # noqa: S311 - made-up data, the same each time
    couples = [(i, j) for i in range(MODELS) for j in range(i + 1, MODELS)]
    for number in range(count):
        question, turn = number % QUESTIONS, number // QUESTIONS % 2 + 1
        judge, couple = divmod(number // QUESTIONS // 2, len(couples))
        first, second = couples[couple]
        g1_winner, g2_winner = chance.choices(_WINNERS, _CHANCES, k=2)
        yield {
            "question_id": question,
            "model_1": f"model {first:02}",
            "model_2": f"model {second:02}",
            "g1_winner": g1_winner,
            "g2_winner": g2_winner,
            "judge": [f"judge {judge}", "pair"],
            "g1_judgment": "A few words, and then [[A]]",
            "g2_judgment": "A few words, and then [[B]]",
            "turn": turn,
        }
