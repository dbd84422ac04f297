"""`manage.py arena import FILE`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import CommandError, CommandParser

from arena.battle_files import answers, reading
from arena.battle_files.rows import BadFile, BattleRow
from arena.commands import Say, files
from arena.errors import InvalidValue
from arena.services import importing

HELP = "Add the votes of a file. What was imported before is left alone."
SHOWN = 5


def add_arguments(parser: CommandParser) -> None:
    files.add_file(parser)
    parser.add_argument(
        "--answers", type=Path, help="LLMFAO's pairs-crowd.jsonl: what was asked and answered."
    )
    parser.add_argument("--models", type=Path, help="LLMFAO's models.jsonl: name and org of each model.")
    parser.add_argument("--source", help="Where the votes come from (default: the file's name).")
    parser.add_argument(
        "--rejects", type=Path, help="Write refused rows with their reasons here, as JSON lines."
    )
    parser.add_argument("--dry-run", action="store_true", help="Write nothing, say what would be added.")


def run(options: dict[str, Any], say: Say) -> None:
    path: Path = options["file"]
    known = answers.read_answers(options["answers"]) if options["answers"] else {}
    organisations = list(_organisations(options["models"])) if options["models"] else []
    rejects = options["rejects"].open("w", encoding="utf-8") if options["rejects"] else None
    refusals = _Refusals(say, rejects)
    rows = reading.read(path, shape=options["format"], rejected=refusals)
    votes: Iterator[BattleRow] = (answers.with_answers(row, known) for row in rows)
    try:
        source = options["source"] or path.stem
        result = importing.import_votes(votes=votes, source=source, dry_run=options["dry_run"])
        if not options["dry_run"]:
            importing.list_organisations(rows=organisations)
    except (InvalidValue, OSError) as error:
        raise CommandError(str(error)) from error
    finally:
        if rejects:
            rejects.close()
    verb = "would be added" if options["dry_run"] else "added"
    say(f"{result.added} votes {verb}, {result.present} were there, {refusals.number} rows refused.")


class _Refusals:
    """Says the first few of them, and keeps all in a file if there is one."""

    def __init__(self, say: Say, file: TextIO | None) -> None:
        self.say, self.file, self.number = say, file, 0

    def __call__(self, problem: BadFile) -> None:
        self.number += 1
        if self.number <= SHOWN:
            self.say(f"row {problem.line}: {problem.problem}")
        if self.file:
            refused = {"line": problem.line, "reason": problem.problem, "row": problem.row}
            self.file.write(json.dumps(refused, ensure_ascii=False, default=str) + "\n")


def _organisations(path: Path) -> Iterator[tuple[str, str]]:
    for _, row in reading.records(path):
        yield str(row.get("name", "")), str(row.get("org") or "")
