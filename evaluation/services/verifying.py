"""What is stored of a run, checked against the judges' own words."""

import json
from collections.abc import Iterator
from pathlib import Path

from evaluation.errors import CannotEvaluate
from evaluation.models import EvaluationRun, StoredVerdict
from evaluation.report.folder import MARK
from evaluation.report.verifying import differences
from evaluation.services import asking


def run(*, run: EvaluationRun) -> tuple[int, list[str]]:
    """(how many numbers were checked, what differs): every verdict is read anew, every total counted anew."""
    problems: list[str] = []
    verdicts = failed = 0
    for verdict in run.verdicts.iterator(chunk_size=1000):
        verdicts += 1
        failed += verdict.failed
        problems += _verdict(verdict)
    answers = run.answers.filter(complete=True).exclude(error_message="").count()
    if run.status == EvaluationRun.Status.FINISHED and verdicts != run.verdicts_total:
        problems.append(f"verdicts: the run counts {run.verdicts_total}, there are {verdicts}.")
    if run.status == EvaluationRun.Status.FINISHED and failed + answers != run.errors:
        problems.append(f"errors: the run counts {run.errors}, there are {failed + answers}.")
    return verdicts + 2, problems


def folder(*, folder: Path) -> tuple[int, list[str]]:
    """The same for a report's folder: its tables against the raw records beside them."""
    try:
        problems = differences(folder)
        numbers = json.loads((folder / MARK).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CannotEvaluate("folder", f"{folder} is no report that can be checked: {error}") from None
    return sum(1 for _ in _leaves(numbers)), problems


def _verdict(verdict: StoredVerdict) -> list[str]:
    pair = verdict.kind == StoredVerdict.Kind.PAIR
    if not verdict.judgment and verdict.failed:
        return []  # nobody was asked, or nobody answered
    read = (
        asking.read_pair(verdict.judgment, swapped=verdict.game == 2)
        if pair
        else asking.read_single(verdict.judgment)
    )
    said = (verdict.winner if pair else verdict.score) if not verdict.failed else None
    found = (read.winner if pair else read.score) if read else None
    if said == found:
        return []
    return [f"{verdict}, game {verdict.game}: stored is {said!r}, the judge's words say {found!r}."]


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif value is not None:
        yield value
