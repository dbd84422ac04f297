"""`manage.py evaluate run`: plan, say what it takes, work, report progress."""

import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.urls import reverse

from evaluation.commands.common import counted, find_run, money, progress_line, span, unit
from evaluation.errors import Broken, CannotEvaluate, Stopped
from evaluation.models import EvaluationRun
from evaluation.services import judge_prompts, judges, plans, rejudging, runner, runs
from evaluation.services.plans import Estimate, Plan

HELP = "Start an evaluation, or go on with one that was stopped."
SETTINGS = ("limit", "concurrency", "max_tokens", "temperature", "seed", "timeout")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--suite", default="", help="A suite's name, a JSONL file or an https address.")
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME", help="Chat models of the catalog.")
    parser.add_argument(
        "--judge",
        nargs="+",
        default=[],
        metavar="NAME",
        help="Judges or chat models; none stores answers only.",
    )
    parser.add_argument("--mode", choices=plans.JUDGED, default=EvaluationRun.Mode.SINGLE.value)
    parser.add_argument("--baseline", default="", metavar="NAME", help="For the mode pairwise-baseline.")
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="Judge with the prompts of this file, in FastChat's format (judge_prompts.jsonl), and not with our own.",
    )
    parser.add_argument("--limit", type=int, help="Only the first so many questions.")
    parser.add_argument(
        "--concurrency", type=int, help="Calls at once to a chat model (default: what its engines take)."
    )
    parser.add_argument("--max-tokens", type=int, help="New tokens a turn (default: 1024).")
    parser.add_argument("--temperature", type=float, help="For all answers (default: by category).")
    parser.add_argument("--seed", type=int, help="For engines that take one.")
    parser.add_argument("--timeout", type=float, help="Seconds for one call, queueing included.")
    parser.add_argument(
        "--resume", default="", metavar="ID", help="Go on with this run; its first characters suffice."
    )
    parser.add_argument("--retry-errors", action="store_true", help="With --resume: make failed calls again.")
    parser.add_argument(
        "--rejudge",
        default="",
        metavar="ID",
        help="Judge the answers of this run again, by its own judges or by those of --judge.",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="With --rejudge: ask the judges anew where the cache knows what they said; their cards tell the drift.",
    )
    parser.add_argument("--yes", action="store_true", help="Do not ask before it costs something.")
    parser.add_argument(
        "--background", action="store_true", help="For the control worker: end with the parent."
    )


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    run = _resumed(options) if options["resume"] else _begun(out, options)
    work(out, run, background=options["background"])


def work(out: OutputWrapper, run: EvaluationRun, *, background: bool = False) -> None:
    """Work on the run to its end, with a line of progress a moment. Raises `CommandError` when it stops before."""
    # An exception on the way out gives the run back at once, where a plain end would hold it for half a minute.
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        done = runner.execute(
            run_id=run.pk,
            tell=None if background else Progress(out),
            with_parent=background,
        )
    except (Broken, Stopped) as error:
        if background:
            return  # the run says it; the control worker has nobody to tell
        raise CommandError(f"{error}\n{_hint(run)}") from None
    except KeyboardInterrupt:
        raise CommandError(f"Stopped. {_hint(run)}") from None
    finally:
        signal.signal(signal.SIGTERM, before)
    for line in _closing(done):
        out.write(line)


class Progress:
    """Writes how far a run is, but no line twice: a log of a slow run stays short."""

    def __init__(self, out: OutputWrapper):
        self._out, self._last = out, ""

    def __call__(self, run: EvaluationRun) -> None:
        line = progress_line(run)
        if line != self._last:
            self._out.write(line)
            self._last = line


def _closing(run: EvaluationRun) -> list[str]:
    """What came of it, what to do about errors, and where to read it."""
    done = [counted(run.answers_done, unit(run))]
    if run.mode != EvaluationRun.Mode.HARNESS:
        done.append(counted(run.verdicts_done, "verdict"))
    lines = [f"Finished: {', '.join(done)}, {counted(run.errors, 'error')}."]
    if run.errors:
        lines.append(
            "Errors are in no score. Why they are some: the answers and verdicts on the pages. "
            f"To make those calls again: manage.py evaluate run --resume {str(run.pk)[:8]} --retry-errors"
        )
    lines.append(
        f"Read it: {reverse('evaluation:run', args=[run.pk])} on the site, or "
        f"manage.py evaluate report {str(run.pk)[:8]} --out FOLDER"
    )
    return [*lines, f"Run {run.pk}"]


def _begun(out: OutputWrapper, options: dict[str, Any]) -> EvaluationRun:
    again = bool(options["rejudge"])
    plan = _planned_again(options) if again else _planned(options)
    estimate = plans.estimate(plan=plan)
    for line in _summary(plan, estimate):
        out.write(line)
    _confirm(out, estimate, yes=options["yes"])
    for note in judges.knock(judges=plan.judges):
        out.write(note)
    run = rejudging.create(plan=plan, foreground=True) if again else runs.create(plan=plan)
    out.write(f"Run {run.pk}")
    return run


def _planned(options: dict[str, Any]) -> Plan:
    if options["fresh"]:
        raise CannotEvaluate("fresh", "--fresh goes with --rejudge ID.")
    if not options["suite"]:
        raise CannotEvaluate("suite", "Say which questions: --suite NAME, a JSONL file or an https address.")
    return plans.plan(
        suite=options["suite"],
        chat_models=options["models"],
        judge_names=options["judge"],
        mode=options["mode"],
        baseline=options["baseline"],
        parameters={name: options[name] for name in SETTINGS} | {"foreground": True},
        prompts=judge_prompts.read(options["prompts"]) if options["prompts"] else (),
    )


def _planned_again(options: dict[str, Any]) -> Plan:
    if options["suite"] or options["models"]:
        raise CannotEvaluate(
            "rejudge", "--rejudge judges the answers of a run; leave out --suite and --models."
        )
    source = find_run(options["rejudge"])
    return rejudging.plan(run=source, judge_names=options["judge"], fresh=options["fresh"])


def _resumed(options: dict[str, Any]) -> EvaluationRun:
    if options["suite"] or options["models"] or options["judge"]:
        raise CannotEvaluate(
            "resume",
            "--resume goes on with a run as it was planned; leave out --suite, --models and --judge.",
        )
    run = find_run(options["resume"])
    if not options["background"]:
        runs.reopen(run=run, foreground=True, retry_errors=options["retry_errors"])
    return run


def _summary(plan: Plan, estimate: Estimate) -> list[str]:
    lines = [
        f"{plan.suite.name}: {counted(len(plan.questions), 'question')}, {', '.join(plan.chat_models)}",
        f"{counted(estimate.answer_calls, 'answer')} and {counted(estimate.verdict_calls, 'verdict')},"
        f" about {span(estimate.seconds)}{'' if estimate.measured else ' (a guess: nothing was measured yet)'}",
    ]
    if estimate.cost:
        lines.append(
            f"{money(estimate.cost)} for judges ({estimate.prompt_tokens} tokens in, "
            f"{estimate.completion_tokens} out)"
        )
    return lines


def _confirm(out: OutputWrapper, estimate: Estimate, *, yes: bool) -> None:
    """Ask when it costs money. Raises `CommandError` for a no, and where nobody can be asked."""
    if yes or not estimate.cost:
        return
    if not sys.stdin.isatty():
        raise CommandError("This costs money and nobody can be asked here. Add --yes to go on.")
    out.write("Go on? [y/N] ", ending="")
    out.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was started.")


def _hint(run: EvaluationRun) -> str:
    return f"What it has is kept. Go on with: manage.py evaluate run --resume {run.pk}"


def _leave(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
