"""`manage.py evaluate references`: a strong model writes reference answers into a suite's file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.commands.common import money
from evaluation.errors import Broken, CannotEvaluate
from evaluation.services import judges, references, suites

HELP = "Let a strong model write reference answers into a suite's file, for judges to compare with."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--suite", required=True, help="A suite's name, a JSONL file or an https address.")
    parser.add_argument(
        "--author", required=True, metavar="NAME", help="A judge, or a chat model of the catalog."
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="The suite's new file; an unfinished one is completed."
    )
    parser.add_argument(
        "--categories",
        nargs="+",
        default=[],
        metavar="NAME",
        help="(default: those that judges see references in)",
    )
    parser.add_argument("--replace", action="store_true", help="Also where the suite has references already.")
    parser.add_argument(
        "--max-tokens", type=int, default=references.MAX_TOKENS, help="(default: %(default)s)"
    )
    parser.add_argument("--yes", action="store_true", help="Also when it costs something.")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    if options["max_tokens"] < 1:
        raise CannotEvaluate("max_tokens", "--max-tokens must be 1 or more.")
    if options["out"].exists() and options["out"].resolve() == Path(options["suite"]).resolve():
        raise CannotEvaluate("out", "--out is the suite itself; name another file.")
    suite = suites.load(options["suite"])
    [author] = judges.named(names=[options["author"]])
    questions = references.wanted(suite=suite, categories=options["categories"], replacing=options["replace"])
    if not questions:
        raise CommandError(
            "Each of these questions has its references already; --replace writes new ones, --categories names others."
        )
    calls = sum(len(question.turns) for question in questions)
    cost = calls * options["max_tokens"] * author.completion_price / 1e6
    price = f", at most {money(cost)} for what it says" if cost else ""
    out.write(f"{suite.name}: {author.name} answers {len(questions)} questions in {calls} turns{price}")
    if cost and not options["yes"]:
        raise CommandError("This costs money. Add --yes to go on.")
    try:
        failed = references.write(
            suite=suite,
            questions=questions,
            author=author,
            path=options["out"],
            max_tokens=options["max_tokens"],
            tell=out.write,
        )
    except (Broken, OSError) as error:
        raise CommandError(str(error)) from None
    except KeyboardInterrupt:
        raise CommandError("Stopped. What is written is kept; start again with the same arguments.") from None
    if failed:
        raise CommandError(
            f"No reference for {', '.join(failed[:10])}. The others are in {options['out']}; start again with the same "
            "arguments for these."
        )
    out.write(f"The suite is in {options['out']}; a person should read what the model took for right.")
