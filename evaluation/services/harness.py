"""Tasks of lm-evaluation-harness, asked through our own API, with the results stored beside the other evaluations.

The harness is a program of its own (`pip install 'lm-eval[api]'`), started once for each chat model. Its models
`local-completions` and `local-chat-completions` speak to `/v1`, so what is measured is what clients get.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction

from chatsite.accounts.models import User
from evaluation.errors import Broken, CannotEvaluate
from evaluation.formats import lm_eval
from evaluation.models import EvaluationRun, StoredTaskScore
from evaluation.services import plans, suites
from evaluation.services.settings import room
from evaluation.suites import Suite

PROGRAM = "lm_eval"
KINDS = {
    "chat": ("local-chat-completions", "chat/completions"),
    "completions": ("local-completions", "completions"),
}
"""Kind → the harness's name for the model, and the endpoint. Tasks that compare likelihoods need `completions`."""
KEY_VARIABLE = "OPENAI_API_KEY"
BASE_URL = "http://127.0.0.1:8000/v1"
MOST_WORDS = 400  # characters of the harness's last words that are shown
TICK = 1.0
PATIENCE = 10.0  # seconds from asking the harness to stop to ending it

Look = Callable[[int], None]
"""Called with the number of chat models that are done, about once a second; raises to stop the work."""


def create(
    *,
    tasks: Sequence[str],
    chat_models: Sequence[str],
    kind: str = "chat",
    base_url: str = BASE_URL,
    key_variable: str = KEY_VARIABLE,
    limit: int | None = None,
    concurrency: int | None = None,
    tokenizer: str = "",
    include_path: str = "",
    created_by: User | None = None,
    foreground: bool = False,
) -> EvaluationRun:
    """Check everything that can be checked, and store the run. Raises `CannotEvaluate`, naming what to correct."""
    program()
    names = tuple(dict.fromkeys(chat_models))
    plans.check_models(names)
    settings = {
        "kind": _kind(kind),
        "tasks": _tasks(tasks),
        "base_url": _base_url(base_url),
        "key_variable": key_variable,
        "tokenizer": _plain("tokenizer", tokenizer),
        "include_path": _folder(include_path),
    }
    _key(key_variable)
    for name in names:
        _plain("chat_models", name)
    bounds = plans.check_parameters({"limit": limit, "concurrency": concurrency})
    with transaction.atomic():
        run = EvaluationRun(
            suite=suites.keep(
                suite=Suite(f"lm-eval: {', '.join(settings['tasks'])}"[:200], "", ()), questions=()
            ),
            suite_source=f"lm-eval:{','.join(settings['tasks'])}"[:500],
            chat_models=list(names),
            mode=EvaluationRun.Mode.HARNESS,
            parameters={**bounds, "harness": settings, **({"foreground": True} if foreground else {})},
            answers_total=len(names),
            created_by=created_by,
        )
        run.full_clean()
        run.save(force_insert=True)
    return run


def work(run: EvaluationRun, look: Look) -> None:
    """Start the harness for each chat model that has no scores yet, and store what it measured. Raises `Broken`."""
    measured = set(run.task_scores.values_list("chat_model", flat=True))
    for name in run.chat_models:
        if name not in measured:
            _measure(run, name, lambda: look(len(measured)))
            measured.add(name)
        look(len(measured))


def program() -> list[str]:
    """The command that starts the harness. Raises `CannotEvaluate` when it is not installed."""
    beside = Path(sys.executable).with_name(PROGRAM)
    found = str(beside) if beside.is_file() else shutil.which(PROGRAM)
    if found is None:
        raise CannotEvaluate(
            "harness",
            "lm-evaluation-harness is not installed here. Install it: bin/up --install-only --extra harness",
        )
    return [found]


def command(run: EvaluationRun, chat_model: str, folder: Path) -> list[str]:
    settings: Mapping[str, Any] = run.parameters["harness"]
    model, endpoint = KINDS[settings["kind"]]
    model_arguments = {
        "model": chat_model,
        "base_url": f"{settings['base_url']}/{endpoint}",
        "num_concurrent": room(chat_model, run.parameters),
        "max_retries": 5,
        "tokenized_requests": False,
        **({"tokenizer": settings["tokenizer"]} if settings["tokenizer"] else {"tokenizer_backend": "None"}),
    }
    words = [
        *program(),
        "--model",
        model,
        "--model_args",
        ",".join(f"{name}={value}" for name, value in model_arguments.items()),
        "--tasks",
        ",".join(settings["tasks"]),
        "--output_path",
        str(folder),
    ]
    if run.parameters.get("limit"):
        words += ["--limit", str(run.parameters["limit"])]
    if settings["include_path"]:
        words += ["--include_path", settings["include_path"]]
    if settings["kind"] == "chat":
        words.append("--apply_chat_template")
    return words


def _measure(run: EvaluationRun, chat_model: str, look: Callable[[], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="chatsite-harness-") as name:
        folder, log = Path(name, "out"), Path(name, "log")
        try:
            words = command(run, chat_model, folder)
            environment = {**os.environ, "OPENAI_API_KEY": _key(run.parameters["harness"]["key_variable"])}
        except CannotEvaluate as error:
            raise Broken(str(error)) from None
        with log.open("wb") as output:
            child = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=name
            )
            try:
                status = _wait(child, look)
            finally:
                _end(child)
        if status:
            raise Broken(f"{chat_model}: lm-evaluation-harness ended with {status}: {_last_words(log)}")
        _store(run, chat_model, folder)


def _wait(child: "subprocess.Popen[bytes]", look: Callable[[], None]) -> int:
    while True:
        try:
            return child.wait(TICK)
        except subprocess.TimeoutExpired:
            look()


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _store(run: EvaluationRun, chat_model: str, folder: Path) -> None:
    files = sorted(folder.rglob("results*.json"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise Broken(f"{chat_model}: lm-evaluation-harness wrote no results.")
    try:
        values = json.loads(files[-1].read_text("utf-8"))
        scores = lm_eval.read_results(values, source=files[-1].name, chat_model=chat_model)
    except ValueError as error:
        raise Broken(f"{chat_model}: {error}") from None
    if not scores:
        raise Broken(f"{chat_model}: lm-evaluation-harness measured nothing on these tasks.")
    StoredTaskScore.objects.bulk_create(
        StoredTaskScore(
            run=run,
            chat_model=score.chat_model,
            task=score.task[:200],
            metric=score.metric[:100],
            value=score.value,
            stderr=score.stderr,
            samples=score.samples,
            higher_is_better=score.higher_is_better,
            version=score.version[:64],
        )
        for score in scores
    )


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return (lines[-1] if lines else "it said nothing")[-MOST_WORDS:]


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise CannotEvaluate("kind", f"{kind!r} is no kind; there are {', '.join(KINDS)}.")
    return kind


def _tasks(tasks: Sequence[str]) -> list[str]:
    names = [name for text in tasks for name in text.split(",") if name]
    if not names:
        raise CannotEvaluate("tasks", "Name at least one task: --tasks gsm8k; `lm_eval ls tasks` lists them.")
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
            raise CannotEvaluate("tasks", f"{name!r} is no name of a task; `lm_eval ls tasks` lists them.")
    return list(dict.fromkeys(names))


def _base_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s,=]+", url):
        raise CannotEvaluate("base_url", f"{url!r} is no address; for example {BASE_URL}")
    return url.rstrip("/")


def _plain(field: str, value: str) -> str:
    """The harness parts its arguments at commas and equal signs."""
    if "," in value or "=" in value:
        raise CannotEvaluate(
            field, f"{value!r} holds a comma or an equal sign, which lm-evaluation-harness cannot take."
        )
    return value


def _folder(path: str) -> str:
    if path and not Path(path).is_dir():
        raise CannotEvaluate("include_path", f"{path} is no folder; it must hold the tasks' YAML files.")
    return str(Path(path).resolve()) if path else ""


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise CannotEvaluate(
            "key_variable",
            f"The environment variable {variable} is empty; it must hold an API key of this site "
            "(manage.py create_api_key NAME).",
        )
    return key
