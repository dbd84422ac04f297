"""manage.py data split"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from training import tokenizing
from training.commands.common import add_sources, add_target, share, show, whole
from training.data.cleaning import Options
from training.preparing import Plan, prepare

HELP = "Split long conversations at the model's own token count, and part a set into training and validation."


def add_arguments(parser: ArgumentParser) -> None:
    add_sources(parser)
    add_target(parser)
    parser.add_argument(
        "--max-tokens", type=whole(8), help="Split conversations that are longer; needs --model."
    )
    parser.add_argument("--model", help="The checkpoint whose tokenizer counts: a folder or a GGUF file.")
    parser.add_argument("--template", default="", help="A prompt format, when not the checkpoint's own.")
    parser.add_argument("--validation", type=Path, metavar="FILE", help="Where the validation part goes.")
    parser.add_argument("--share", type=share, default=0.02, help="The validation part's share (0.02).")
    parser.add_argument("--seed", type=int, default=0)


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    if bool(options["max_tokens"]) != bool(options["model"]):
        raise CommandError("--max-tokens and --model belong together: each model counts in its own way.")
    if not options["max_tokens"] and not options["validation"]:
        raise CommandError("Say what to do: --max-tokens N --model M, --validation FILE, or both.")
    counter = None
    if options["model"]:
        counter = tokenizing.TokenCounter(options["model"], options["template"])
        tokenizing.load(
            options["model"], options["template"]
        )  # its mistakes are the command's, not each row's
    report = prepare(
        Plan(
            sources=options["files"],
            target=options["out"],
            target_format=options["target_format"],
            rejects=options["rejects"],
            validation=options["validation"],
            validation_share=options["share"],
            seed=options["seed"],
            deduplicate=False,
            processes=options["processes"],
            options=Options(
                source_format=options["source_format"],
                html="never",
                check_lists=False,
                drop_plugins=False,
                count_tokens=counter,
                max_tokens=options["max_tokens"] or 0,
            ),
        )
    )
    show(out, report, options["out"], options["report"])
