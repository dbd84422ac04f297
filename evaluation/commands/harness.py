"""`manage.py evaluate harness`: tasks of lm-evaluation-harness through our own API."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import OutputWrapper

from evaluation.commands.run import work
from evaluation.services import harness

HELP = "Measure chat models with lm-evaluation-harness, through /v1, and keep the results beside the evaluations."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--models", nargs="+", required=True, metavar="NAME", help="Chat models of the catalog."
    )
    parser.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help="See: lm_eval ls tasks")
    parser.add_argument(
        "--kind",
        choices=tuple(harness.KINDS),
        default="chat",
        help="chat for tasks that generate, completions for those that compare likelihoods (default: %(default)s).",
    )
    parser.add_argument("--base-url", default=harness.BASE_URL, help="(default: %(default)s)")
    parser.add_argument(
        "--key-variable",
        default=harness.KEY_VARIABLE,
        metavar="NAME",
        help="The environment variable with an API key of this site (default: %(default)s).",
    )
    parser.add_argument("--limit", type=int, help="Only the first so many samples of each task.")
    parser.add_argument("--concurrency", type=int, help="Requests at once (default: what the engines take).")
    parser.add_argument(
        "--tokenizer", default="", help="A folder or name of a tokenizer; --kind completions needs it."
    )
    parser.add_argument(
        "--include-path", default="", metavar="FOLDER", help="A folder with tasks of your own."
    )


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    run = harness.create(
        tasks=options["tasks"],
        chat_models=options["models"],
        kind=options["kind"],
        base_url=options["base_url"],
        key_variable=options["key_variable"],
        limit=options["limit"],
        concurrency=options["concurrency"],
        tokenizer=options["tokenizer"],
        include_path=options["include_path"],
        foreground=True,
    )
    out.write(f"Run {run.pk}")
    work(out, run)
    for score in run.task_scores.all():
        error = "" if score.stderr is None else f" ± {1.96 * score.stderr:.3f}"
        out.write(f"{score.chat_model}  {score.task}  {score.metric}  {score.value:.3f}{error}")
