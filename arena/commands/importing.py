"""`manage.py arena import FILE`."""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import CommandError, CommandParser

from arena import vote_files
from arena.errors import InvalidValue
from arena.services import importing
from arena.vote_files import FileVote, Rejected, Unreadable

HELP = "Add the votes of a file. What was imported before is left alone."
SHOWN = 5


def add_arguments(parser: CommandParser | argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    parser.add_argument("--format", choices=vote_files.FORMATS, help="Otherwise recognised by the columns.")
    parser.add_argument(
        "--answers", type=Path, help="LLMFAO's pairs-crowd.jsonl: what was asked and answered."
    )
    parser.add_argument("--models", type=Path, help="LLMFAO's models.jsonl: name and org of each model.")
    parser.add_argument("--source", help="Where the votes come from (default: the file's name).")
    parser.add_argument(
        "--rejects", type=Path, help="Write refused rows with their reasons here, as JSON lines."
    )
    parser.add_argument("--dry-run", action="store_true", help="Write nothing, say what would be added.")


def run(options: dict[str, Any], say: Callable[[str], None]) -> None:
    path: Path = options["file"]
    for wanted in (path, options["answers"], options["models"]):
        if wanted is not None and not wanted.is_file():
            raise CommandError(f"There is no file {wanted}.")
    rejects = options["rejects"].open("w", encoding="utf-8") if options["rejects"] else None
    reader = _Reader(say, rejects)
    try:
        kind = options["format"] or vote_files.recognise(path)
        votes = reader.votes(vote_files.read(path, kind, options["answers"]))
        source = options["source"] or path.stem
        result = importing.import_votes(votes=votes, source=source, dry_run=options["dry_run"])
        if options["models"] and not options["dry_run"]:
            importing.list_organisations(rows=_organisations(options["models"]))
    except (Unreadable, InvalidValue, OSError) as error:
        raise CommandError(str(error)) from error
    finally:
        if rejects:
            rejects.close()
    verb = "would be added" if options["dry_run"] else "added"
    say(f"{result.added} votes {verb}, {result.present} were there, {reader.rejected} rows refused.")


class _Reader:
    """Passes votes on and keeps what was refused."""

    def __init__(self, say: Callable[[str], None], rejects: TextIO | None) -> None:
        self.say, self.rejects, self.rejected = say, rejects, 0

    def votes(self, rows: Iterator[FileVote | Rejected]) -> Iterator[FileVote]:
        for row in rows:
            if isinstance(row, FileVote):
                yield row
                continue
            self.rejected += 1
            if self.rejected <= SHOWN:
                self.say(f"line {row.line}: {row.reason}")
            if self.rejects:
                refused = {"line": row.line, "reason": row.reason, "row": row.row}
                self.rejects.write(json.dumps(refused, ensure_ascii=False, default=str) + "\n")


def _organisations(path: Path) -> Iterator[tuple[str, str]]:
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        yield str(row.get("name", "")), str(row.get("org") or "")
