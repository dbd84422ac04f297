"""Data files through the cleaning steps into data files: what `manage.py data` does, without Django.

One pass: rows are read, cleaned on all cores, compared with those before, and written. What is left out goes to a
file of rejects with its reason; a bad row never stops the run.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from training import files, parallel
from training.data import drawing, duplicates, formats
from training.data.cleaning import Cleaned, Options, Report, clean
from training.data.records import BadRow, Conversation, Record, Rejected


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the rows come from and go to."""

    sources: Sequence[Path]
    target: Path
    target_format: str = ""
    """Of `formats.NAMES`; "" writes ShareGPT, and preference pairs as such."""
    rejects: Path | None = None
    validation: Path | None = None
    """Where the validation part goes; None parts nothing."""
    validation_share: float = 0.02
    seed: int = 0
    sample: int = 0
    """Keep so many, each equally likely; 0 keeps all."""
    deduplicate: bool = True
    near: float | None = None
    """From which likeness on two are near duplicates."""
    processes: int = 0
    options: Options = field(default_factory=Options)


def prepare(plan: Plan) -> Report:
    """Runs the plan. Raises `files.FileProblem`."""
    report = Report()
    _check_paths(plan)
    with ExitStack() as stack:
        target = stack.enter_context(files.writing(plan.target))
        validation = stack.enter_context(files.writing(plan.validation)) if plan.validation else None
        rejects = _Rejects(stack.enter_context(files.writing(plan.rejects)) if plan.rejects else None, report)
        kept: Iterable[Record] = _kept(plan, report, rejects)
        if plan.sample:
            kept = drawing.sample(kept, plan.sample, plan.seed)
        for record in kept:
            try:
                row = formats.write(record, plan.target_format or _usual_format(record))
            except BadRow as error:
                rejects.add(Rejected(record.id, error.reason, error.detail), None)
                continue
            is_validation = validation is not None and drawing.is_validation(
                record, plan.validation_share, plan.seed
            )
            (validation if validation is not None and is_validation else target).write(row)
            report.written += 1
            report.changed["validation"] += is_validation
    report.changed += type(report.changed)()  # drops the zeros
    return report


def records(sources: Sequence[Path], *, source_format: str = "") -> Iterator[Record]:
    """The records of files as they are, for reading only. Raises `files.FileProblem` at the first bad row."""
    for line in files.read_all(sources):
        try:
            if line.problem:
                raise BadRow("not_json", line.problem)
            yield formats.read(line.row, number=line.number, name=source_format)
        except BadRow as error:
            raise files.FileProblem(
                f"Row {line.number}: {error.detail} `manage.py data clean` sorts such rows out."
            ) from None


def _check_paths(plan: Plan) -> None:
    written = [path for path in (plan.target, plan.validation, plan.rejects) if path]
    names = [path.resolve() for path in (*plan.sources, *written)]
    for path in written:
        if names.count(path.resolve()) > 1:
            raise files.FileProblem(f"{path} is named twice; what is read and what is written must differ.")


def _usual_format(record: Record) -> str:
    return "sharegpt" if isinstance(record, Conversation) else "preference"


class _Rejects:
    """Writes what is left out, and counts it."""

    def __init__(self, writer: files.Writer | None, report: Report):
        self._writer, self._report = writer, report

    def add(self, rejected: Rejected, row: Any) -> None:
        self._report.dropped[rejected.reason] += 1
        if self._writer is not None:
            line = {"id": rejected.id, "reason": rejected.reason, "detail": rejected.detail}
            self._writer.write(line if row is None else {**line, "row": row})


def _kept(plan: Plan, report: Report, rejects: _Rejects) -> Iterator[Record]:
    seen = duplicates.Seen(near=plan.near) if plan.deduplicate else None
    results = parallel.ordered(
        partial(_clean_line, options=plan.options), files.read_all(plan.sources), processes=plan.processes
    )
    for line, cleaned in results:
        report.read += 1
        report.changed.update(cleaned.changes)
        if cleaned.rejected:
            rejects.add(cleaned.rejected, line.row)
            continue
        if seen and (again := _again(seen, cleaned)):
            rejects.add(again, line.row)
            continue
        yield from cleaned.records


def _clean_line(line: files.Line, options: Options) -> tuple[files.Line, Cleaned]:
    """The line comes back too: the file of rejects shows it."""
    if line.problem:
        rejected = Rejected(f"row-{line.number}", "not_json", line.problem)
        return line, Cleaned([], [], rejected, {})
    return line, clean(line.row, line.number, options)


def _again(seen: duplicates.Seen, cleaned: Cleaned) -> Rejected | None:
    """Why the records of one row are left out: they were there before."""
    origin = cleaned.records[0]
    name = str(origin.extra.get("split_from", origin.id))
    digest, sign = cleaned.fingerprints[0]
    found = seen.reason(name, [digest], sign)
    return Rejected(name, *found) if found else None
