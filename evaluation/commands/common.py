"""What the subcommands share: finding a run, and lines for a terminal."""

from collections.abc import Sequence
from pathlib import Path

from django.core.management.base import CommandError

from evaluation.models import EvaluationRun
from evaluation.report import files
from evaluation.report.material import Material
from evaluation.selectors import runs


def find_run(run_id: str) -> EvaluationRun:
    run = runs.find(run_id)
    if run is None:
        raise CommandError(f"There is no run {run_id!r}, or several begin so. See: manage.py evaluate list")
    return run


def material_of_files(sources: Sequence[str]) -> Material:
    """What FastChat's files say. Raises `CommandError` naming the file, and the line where one is to blame."""
    try:
        return files.read([Path(source) for source in sources])
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from None


def progress_line(run: EvaluationRun) -> str:
    parts = [f"{run.answers_done}/{counted(run.answers_total, unit(run))}"]
    if run.verdicts_total:
        parts.append(f"{run.verdicts_done}/{counted(run.verdicts_total, 'verdict')}")
    if run.errors:
        parts.append(counted(run.errors, "error"))
    return f"{run.progress:>4.0%}  {', '.join(parts)}"


def unit(run: EvaluationRun) -> str:
    """What the run's first counter counts: the harness measures a chat model in one go."""
    return "chat model" if run.mode == EvaluationRun.Mode.HARNESS else "answer"


def counted(number: int, noun: str) -> str:
    """`1 answer`, `2 answers`; for nouns whose plural is made by an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def span(seconds: float) -> str:
    """Rounded as far as an estimate is worth."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def money(amount: float) -> str:
    """With its "about", in the currency of the judges' prices."""
    return f"about {amount:.2f}" if amount >= 0.01 else "less than 0.01"
