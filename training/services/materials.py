"""What a job learns from, laid into the folder of its run: a copied file, or what is drawn from the arena.

Laid out once: a paused job goes on with what it had, though the file was deleted meanwhile.
"""

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from training import files
from training.data import drawing as parts
from training.data.records import Conversation
from training.models import Job
from training.preparing import records
from training.services import drawing, jobs
from training.services.errors import Untrainable
from workers.models import ApiFile

TRAIN: Final = "train.jsonl"
VALIDATION: Final = "validation.jsonl"
MOST_HELD_OUT: Final = 200
"""Rows: more of them cost time at every evaluation and say little more."""
FEWEST_HELD_OUT: Final = 2
LOOKED_AT: Final = 10_000
"""Rows that are read for the system prompt they have in common."""


class Materials(NamedTuple):
    train: Path
    validation: Path | None


def lay_out(*, job: Job, folder: Path) -> Materials:
    """Put the job's data into `folder`. Raises `Untrainable`."""
    train, validation = folder / TRAIN, folder / VALIDATION
    if not train.is_file():
        whole = folder / "whole.part"
        if job.source:
            _draw(job, whole)
        else:
            _copy(job.training_file, "training_file", whole)
        if job.held_out and not job.validation_file_name:
            _part(whole, train, validation, job)
        else:
            whole.replace(train)
    if job.validation_file_name and not validation.is_file():
        part = folder / "validation.part"
        _copy(job.validation_file, "validation_file", part)
        part.replace(validation)
    return Materials(train, validation if validation.is_file() else None)


def held_out(amount: int, percent: int) -> int:
    """How many of `amount` rows are kept back."""
    return min(MOST_HELD_OUT, max(FEWEST_HELD_OUT, round(amount * percent / 100))) if percent else 0


def clear(*, job: Job, folder: Path) -> None:
    """A job that has ended keeps nothing of what people said here: what they take back is gone from the disk, too."""
    if job.source and not job.open:
        for name in (TRAIN, VALIDATION):
            (folder / name).unlink(missing_ok=True)


def system_prompt(*, train: Path) -> str | None:
    """What all rows have for a system prompt: "" when none has one, None when they differ."""
    found = set(islice(_system_prompts(train), LOOKED_AT))
    return found.pop() if len(found) == 1 else None


def _system_prompts(train: Path) -> Iterator[str]:
    for record in records([train]):
        messages = record.messages if isinstance(record, Conversation) else record.prompt
        yield messages[0].text if messages and messages[0].role == "system" else ""


def _draw(job: Job, target: Path) -> None:
    kind = job.source.get("kind", drawing.CONVERSATIONS)
    drawn = target.with_name("drawn.jsonl")
    with files.writing(drawn) as writer:
        report = drawing.draw(
            target=writer,
            kind=kind,
            wanted=drawing.wanted_of(job.source),
            personal=job.source.get("personal", "hide"),
        )
    if not report.written:
        drawn.unlink()
        raise Untrainable(
            "source",
            f"The arena has nothing to learn from: {report.read} votes were found, and none of them was kept. Only "
            "votes for one side count, in battles of people who accepted the terms.",
        )
    drawn.replace(target)
    jobs.note(job=job, message=f"{report.written} of {report.read} votes are learnt from")


def _copy(file: ApiFile | None, param: str, target: Path) -> None:
    if file is None or not file.path.is_file():
        raise Untrainable(param, "The file is gone. Upload it again, and make a new job.")
    shutil.copyfile(file.path, target)


def _part(whole: Path, train: Path, validation: Path, job: Job) -> None:
    """Some rows, chosen by the job's seed, are held out. The training part comes last: with it all is laid out."""
    with whole.open("rb") as lines:
        amount = sum(1 for line in lines if line.strip())
    wanted = held_out(amount, job.held_out)
    if amount <= wanted:
        raise Untrainable(
            "held_out",
            f"Of {amount} rows none would be left to learn. Hold nothing out, or bring more of them.",
        )
    chosen = set(parts.sample(range(amount), wanted, job.seed))
    rest = train.with_name("train.part")
    with whole.open("rb") as lines, rest.open("wb") as learnt, validation.open("wb") as held:
        for number, line in enumerate(line for line in lines if line.strip()):
            (held if number in chosen else learnt).write(line if line.endswith(b"\n") else line + b"\n")
    rest.replace(train)
    whole.unlink()
