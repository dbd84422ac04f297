"""`manage.py evaluate suites`."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.errors import CannotEvaluate
from evaluation.services import suites
from evaluation.suites import SHIPPED, Suite

HELP = "List the sets of questions, show one, or check a file or address before it is used."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "show", "check"), default="list")
    parser.add_argument(
        "source", nargs="?", default="", help="A suite's name, arena:SIZE, a file or an https address."
    )
    parser.add_argument("--json", action="store_true", help="With show: the questions as JSON lines.")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    action, source = options["action"], options["source"]
    if action == "list":
        for name, shipped in SHIPPED.items():
            questions = len(suites.load(name).questions)
            out.write(
                f"{name:<10} {questions:>3} questions, version {shipped.version}. {shipped.description}"
            )
        out.write(
            "arena      Drawn from the arena: messages of battles with a vote that counts; arena:50 takes 50."
        )
        return
    if not source:
        raise CommandError(f"Say which: manage.py evaluate suites {action} NAME, a file or an https address.")
    try:
        suite = suites.load(source)
    except CannotEvaluate as error:
        raise CommandError(str(error)) from None
    if options["json"]:
        for row in suites.rows(suite):
            out.write(json.dumps(row, ensure_ascii=False))
        return
    _summary(out, suite)
    if action == "show":
        _questions(out, suite)


def _summary(out: OutputWrapper, suite: Suite) -> None:
    version = f" version {suite.version}" if suite.version else ""
    out.write(f"{suite.name}{version}: {len(suite.questions)} questions, digest {suite.digest[:12]}")
    for category, count in suite.categories.items():
        graded = ", graded by reference" if category in suite.referenced_categories else ""
        out.write(f"  {category or '(no category)'}: {count}{graded}")
    for remark in suite.remarks:
        out.write(f"Note: {remark}")


def _questions(out: OutputWrapper, suite: Suite) -> None:
    for question in suite.questions:
        out.write("")
        out.write(f"[{question.id}] {question.category}, temperature {suite.temperature(question)}")
        for number, turn in enumerate(question.turns):
            out.write(f"  {number + 1}. {_indented(turn)}")
            if number < len(question.reference):
                out.write(f"     Reference: {_indented(question.reference[number])}")


def _indented(text: str) -> str:
    return text.replace("\n", "\n     ")
