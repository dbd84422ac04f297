"""Fine-tuning jobs by command; see docs/training.md."""

import json
import shutil
import tempfile
import time
from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chatsite.accounts.models import User
from training.commands import cloud
from training.models import Job
from workers.models import ApiFile, ChatModel

MOST_HELD_OUT = 50
"""Percent."""
LOOK_SECONDS = 0.5
WATCH_SECONDS = 300
"""How long `train start --watch` waits for the first step; weights have to be loaded first."""


class Command(BaseCommand):
    help = "Start, list, show and stop fine-tuning jobs, and work on them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("worker", help="Train what is queued, on this machine, until it is stopped.")
        _add_start(verbs.add_parser("start", help="Make a job."))
        listing = verbs.add_parser("list", help="All jobs, the newest first.")
        listing.add_argument("--json", action="store_true", help="One object a line.")
        for verb, text in (
            ("show", "A job, and what it told."),
            ("logs", "What its recipe printed, on the machine that trained."),
            ("cancel", "End it for good."),
            ("pause", "Stop for now; `resume` goes on at the last checkpoint."),
            ("resume", "Go on with a paused job."),
        ):
            verbs.add_parser(verb, help=text).add_argument("job", help="Its id: ftjob-…")
        publish = verbs.add_parser("publish", help="Show the chat model that it made to people and the API.")
        publish.add_argument("job", help="Its id: ftjob-…")
        publish.add_argument(
            "--battles",
            type=float,
            default=0.0,
            metavar="SHARE",
            help="Of all battles, 0 to 1, in which it meets the chat model it was made from (default: none).",
        )
        evaluate = verbs.add_parser(
            "evaluate", help="Compare what it made with its parent, once both are served."
        )
        evaluate.add_argument("job", help="Its id: ftjob-…")
        evaluate.add_argument(
            "--judge",
            dest="judges",
            action="append",
            default=[],
            metavar="NAME",
            help="A judge, or a chat model that judges; may be repeated. Without, the answers are kept alone.",
        )
        cloud.add_arguments(verbs.add_parser("cloud", help=cloud.HELP, description=cloud.HELP))

    def handle(self, *args: object, verb: str, **options: Any) -> None:
        actions = {"worker": self._worker, "start": self._start, "list": self._list, "show": self._show}
        actions |= {"logs": self._logs, "publish": self._publish, "evaluate": self._evaluate}
        if verb == "cloud":
            cloud.handle(self.stdout, options)
        elif verb in actions:
            actions[verb](options)
        else:
            self._change(verb, options)

    def _worker(self, options: dict[str, Any]) -> None:
        from training.services import working

        working.work()

    def _start(self, options: dict[str, Any]) -> None:
        from training.services import jobs

        owner = _owner(options["owner"])
        if not ChatModel.objects.filter(name=options["model"]).exists():
            raise CommandError(
                f"The catalog has no chat model {options['model']!r}; `manage.py models list` shows them."
            )
        hyperparameters = {
            name: "auto" if options[name] is None else options[name]
            for name in ("n_epochs", "batch_size", "learning_rate_multiplier")
        }
        data = None if options["from_arena"] else _uploaded(owner, options["data"], "--data")
        validation = (
            _uploaded(owner, options["validation"], "--validation") if options["validation"] else None
        )
        try:
            job = jobs.create(
                owner=owner,
                base_model=options["model"],
                training_file=data,
                held_out=options["hold_out"],
                sample_prompts=options["sample"],
                validation_file=validation,
                method=options["method"],
                hyperparameters=hyperparameters,
                suffix=options["suffix"],
                seed=options["seed"],
            )
        except jobs.TooMany:
            raise CommandError(
                f"{owner} has {jobs.MOST_OPEN} open jobs already: wait, or cancel one."
            ) from None
        job.refresh_from_db()
        if job.error:
            raise CommandError(f"{job.public_id}: {job.error['message']} (`manage.py train worker`)")
        self.stdout.write(job.public_id)
        if options["watch"] or (options["watch"] is None and self.stdout.isatty()):
            self._watch_begin(job)

    def _watch_begin(self, job: Job) -> None:
        """Pass on what is told before the first step, memory and time among it. Raises `CommandError` for a refusal."""
        seen, patience = 0, time.monotonic() + WATCH_SECONDS
        while time.monotonic() < patience:
            job.refresh_from_db()
            for event in job.events.filter(pk__gt=seen).order_by("pk"):
                self.stdout.write(event.message)
                seen = event.pk
                if event.kind == "metrics":
                    return
            if job.error:
                raise CommandError(f"{job.public_id}: {job.error['message']}")
            if not job.open:
                return
            if job.status == Job.Status.QUEUED and Job.objects.filter(status=Job.Status.RUNNING).exists():
                self.stdout.write("It waits until the device is free; `train show` tells how it goes.")
                return
            time.sleep(LOOK_SECONDS)

    def _list(self, options: dict[str, Any]) -> None:
        for job in Job.objects.select_related("owner"):
            if options["json"]:
                row: dict[str, str | None] = {
                    "id": job.public_id,
                    "status": job.status,
                    "model": job.base_model,
                }
                row["owner"] = job.owner.username
                row["fine_tuned_model"] = job.fine_tuned_model or None
                self.stdout.write(json.dumps(row))
            else:
                made = f" → {job.fine_tuned_model}" if job.fine_tuned_model else ""
                self.stdout.write(f"{job.public_id}  {job.status:<10} {job.base_model}{made}")

    def _show(self, options: dict[str, Any]) -> None:
        job = _find(options["job"])
        self.stdout.write(f"{job.public_id}: {job.status}, {job.method}, teaches {job.base_model}")
        if job.estimated_finish:
            self.stdout.write(f"Probably done at {job.estimated_finish:%Y-%m-%d %H:%M:%S %Z}")
        for event in job.events.all():
            self.stdout.write(f"{event.created_at:%H:%M:%S} {event.message}")

    def _logs(self, options: dict[str, Any]) -> None:
        from training.services import running

        log = running.log_of(_find(options["job"]))
        if not log.is_file():
            raise CommandError(
                f"{log} is not there. It begins with the training, on the machine that trains."
            )
        with log.open(encoding="utf-8", errors="replace") as lines:
            shutil.copyfileobj(lines, self.stdout)

    def _publish(self, options: dict[str, Any]) -> None:
        from training.services import publishing

        try:
            made = publishing.publish(job=_find(options["job"]), battles=options["battles"])
        except (publishing.NotMade, publishing.NoParent) as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(f"--battles: {' '.join(error.messages)}") from None
        self.stdout.write(f"Published. `manage.py worker --model {made.name}` lets it answer.")

    def _evaluate(self, options: dict[str, Any]) -> None:
        from evaluation.errors import CannotEvaluate
        from training.services import smoke

        job = _find(options["job"])
        try:
            smoke.begin(job=job, judges=options["judges"])
        except (smoke.NotMade, CannotEvaluate) as error:
            raise CommandError(str(error)) from None
        begun = f"Evaluation {job.smoke_run_id} has begun; `train show` tells what comes of it."
        self.stdout.write(job.smoke_message or begun)

    def _change(self, verb: str, options: dict[str, Any]) -> None:
        from training.services import jobs

        job = _find(options["job"])
        try:
            {"cancel": jobs.cancel, "pause": jobs.pause, "resume": jobs.resume}[verb](job=job)
        except jobs.WrongState as error:
            raise CommandError(f"{job.public_id} is {error.status}: it is too late to {verb} it.") from None
        job.refresh_from_db()
        self.stdout.write(f"{job.public_id}: {job.status}")


def _add_start(parser: ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="The chat model that is taught, by its name.")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, help="JSONL, as the API takes it for fine-tuning.")
    data.add_argument(
        "--from-arena",
        action="store_true",
        help="Learn from the votes on this site, of people who agreed to it.",
    )
    parser.add_argument("--validation", type=Path, help="JSONL to measure on.")
    parser.add_argument(
        "--hold-out",
        type=_percent,
        default=0,
        metavar="PERCENT",
        help="Of the data, to measure on (default: 0).",
    )
    parser.add_argument(
        "--sample",
        action="append",
        type=_prompt,
        default=[],
        metavar="PROMPT",
        help="Let it answer this on the way; may be repeated.",
    )
    parser.add_argument("--method", choices=Job.Method.values, default=Job.Method.SUPERVISED)
    parser.add_argument("--epochs", dest="n_epochs", type=_positive, help="Default: 3.")
    parser.add_argument("--batch-size", type=_positive, help="Default: 4.")
    parser.add_argument("--learning-rate-multiplier", type=float, help="Default: 1, which is 2e-4.")
    parser.add_argument("--suffix", default="", help="Part of the new chat model's name.")
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--watch",
        action=BooleanOptionalAction,
        help="Wait for the estimate of memory and time (default: at a terminal).",
    )
    parser.add_argument("--owner", default="", help="Whose job it is; default: the first administrator.")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _percent(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MOST_HELD_OUT:
        raise ValueError(text)
    return value


def _prompt(text: str) -> str:
    prompt = text.strip().lstrip("-").strip()
    if not prompt:
        raise ValueError(text)
    return prompt


def _owner(username: str) -> User:
    found = User.objects.filter(username=username) if username else User.objects.filter(is_superuser=True)
    owner = found.order_by("pk").first()
    if owner is None:
        raise CommandError(
            f"There is no user {username!r}." if username else "There is no administrator: say --owner."
        )
    return owner


def _uploaded(owner: User, path: Path, option: str) -> ApiFile:
    """The file as one of the owner's; it is checked as the API checks it."""
    from workers.services import files, jsonl

    with tempfile.NamedTemporaryFile(dir=files.incoming(), delete=False) as copy:
        try:
            with path.open("rb") as source:
                shutil.copyfileobj(source, copy)
        except OSError as error:
            Path(copy.name).unlink()
            raise CommandError(f"{option}: {path} cannot be read: {error.strerror}.") from None
    try:
        return files.take_in(
            owner=owner, source=Path(copy.name), filename=path.name, purpose=ApiFile.Purpose.FINE_TUNE
        )
    except jsonl.InvalidLine as error:
        raise CommandError(f"{option}: {path}: {error}") from None
    except files.NoRoom as error:
        raise CommandError(f"{option}: {owner}'s files would take more than {error.limit} bytes.") from None


def _find(public_id: str) -> Job:
    job = Job.objects.filter(public_id=public_id).first()
    if job is None:
        raise CommandError(f"There is no job {public_id!r}; `manage.py train list` shows them.")
    return job
