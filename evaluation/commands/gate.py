"""`manage.py evaluate gate`: exit status 0 when the candidate may go on, 1 when not, 2 when nobody can tell."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.commands.common import find_run
from evaluation.errors import CannotEvaluate
from evaluation.models import EvaluationRun
from evaluation.selectors import reading, runs
from evaluation.services import gating
from evaluation.services.gating import Gate

HELP = "Say whether a candidate is good enough beside its parent: exit 0 yes, 1 no, 2 cannot be told."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--candidate", required=True, metavar="NAME")
    parser.add_argument("--parent", required=True, metavar="NAME")
    parser.add_argument(
        "--min-effect",
        type=float,
        default=0.0,
        help="Points of score, or (wins - losses) / games. Above 0: an improvement of so much that is no chance. "
        "0 or below: no loss of more than so much (default: %(default)s).",
    )
    parser.add_argument(
        "--run", default="", metavar="ID", help="Default: the newest finished run that judged both."
    )


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    candidate, parent = options["candidate"], options["parent"]
    run = find_run(options["run"]) if options["run"] else runs.with_both(candidate=candidate, parent=parent)
    if run is None:
        raise CommandError(f"No finished run has judged both {candidate} and {parent}.", returncode=2)
    try:
        gate = gating.decide(
            run=run,
            material=reading.material(run),
            candidate=candidate,
            parent=parent,
            min_effect=options["min_effect"],
        )
    except CannotEvaluate as error:
        raise CommandError(f"{_short(run)}: {error}", returncode=2) from None
    out.write(f"{_short(run)}: {_line(candidate, parent, gate)}")
    if not gate.passed:
        raise CommandError(f"Not passed: {gate.reason}.", returncode=1)
    out.write(f"Passed: {gate.reason}.")


def _short(run: EvaluationRun) -> str:
    """Which run was taken, as `evaluate report` and `--run` know it."""
    return f"Run {str(run.pk)[:8]}"


def _line(candidate: str, parent: str, gate: Gate) -> str:
    difference = gate.comparison.difference
    return (
        f"{candidate} less {parent}: {difference.value:+.3f} {gate.unit} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}], d = {gate.comparison.effect:.2f}, "
        f"p = {gate.comparison.p_value:.4f}, {gate.comparison.questions} questions"
    )
