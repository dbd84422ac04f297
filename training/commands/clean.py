"""manage.py data clean"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from arena.ratings.categories import language
from training.commands.common import add_sources, add_target, hook, share, show, whole
from training.data import markdown, personal, words
from training.data.cleaning import Options
from training.preparing import Plan, prepare

HELP = "Clean conversations: HTML to Markdown, order, blocked words, languages, duplicates, personal data."


def add_arguments(parser: ArgumentParser) -> None:
    add_sources(parser)
    add_target(parser)
    parser.add_argument("--html", choices=markdown.MODES, default="auto", help="Which texts to read as HTML.")
    parser.add_argument("--block", action="append", default=[], metavar="WORD", help="Drop what says it.")
    parser.add_argument(
        "--block-assistants",
        action="store_true",
        help=f"Block {' and '.join(words.FASTCHAT)}, as FastChat does.",
    )
    parser.add_argument(
        "--keep-lang", action="append", default=[], metavar="CODE", help="Such as en; repeatable."
    )
    parser.add_argument("--skip-lang", action="append", default=[], metavar="CODE")
    parser.add_argument(
        "--personal", choices=("keep", "hide", "drop"), default="keep", help="Mail addresses, numbers, keys."
    )
    parser.add_argument("--personal-hook", metavar="MODULE:FUNCTION", help="Finds personal data instead.")
    parser.add_argument("--moderation-hook", metavar="MODULE:FUNCTION", help="Text → why to drop it, or ''.")
    parser.add_argument("--no-dedupe", action="store_true", help="Keep duplicates.")
    parser.add_argument(
        "--near", type=share, metavar="LIKENESS", help="Drop near duplicates, too; 0.8 is usual."
    )
    parser.add_argument("--drop-repeated-digits", action="store_true")
    parser.add_argument("--keep-wrong-lists", action="store_true", help="Keep lists that count 1, 1, …")
    parser.add_argument(
        "--keep-plugins", action="store_true", help="Keep conversations with ShareGPT plugins."
    )
    parser.add_argument("--sample", type=whole(1), default=0, metavar="N", help="Keep so many, drawn evenly.")
    parser.add_argument("--seed", type=int, default=0)


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    report = prepare(plan(options))
    show(out, report, options["out"], options["report"])


def plan(options: dict[str, Any]) -> Plan:
    if options["keep_lang"] and options["skip_lang"]:
        raise CommandError("--keep-lang and --skip-lang exclude each other.")
    return Plan(
        sources=options["files"],
        target=options["out"],
        target_format=options["target_format"],
        rejects=options["rejects"],
        seed=options["seed"],
        sample=options["sample"],
        deduplicate=not options["no_dedupe"],
        near=options["near"],
        processes=options["processes"],
        options=_steps(options),
    )


def _steps(options: dict[str, Any]) -> Options:
    blocked = (*options["block"], *(words.FASTCHAT if options["block_assistants"] else ()))
    languages = options["keep_lang"] or options["skip_lang"]
    return Options(
        source_format=options["source_format"],
        html=options["html"],
        blocked_words=tuple(blocked),
        keep_languages=tuple(options["keep_lang"]),
        skip_languages=tuple(options["skip_lang"]),
        detect_language=language if languages else None,
        personal_data="" if options["personal"] == "keep" else options["personal"],
        moderate=hook(options["moderation_hook"], "--moderation-hook")
        if options["moderation_hook"]
        else None,
        check_lists=not options["keep_wrong_lists"],
        drop_repeated_digits=options["drop_repeated_digits"],
        drop_plugins=not options["keep_plugins"],
        near_duplicates=options["near"] is not None,
        find_personal=(
            hook(options["personal_hook"], "--personal-hook") if options["personal_hook"] else personal.find
        ),
    )
