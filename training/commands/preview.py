"""manage.py data preview"""

import sys
from argparse import ArgumentParser
from itertools import islice
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from training import tokenizing
from training.commands.common import add_sources, whole
from training.data.certificate import Certificate, certify
from training.data.masking import Detailed, Masker, unrolled
from training.data.records import BadRow, Conversation
from training.preparing import records

HELP = "Show what a model will see of conversations: text, ids, and which tokens carry loss, in colour."
LOSS, PROMPT, END = "\x1b[30;42m", "\x1b[2m", "\x1b[0m"


def add_arguments(parser: ArgumentParser) -> None:
    add_sources(parser)
    parser.add_argument("--model", required=True, help="The checkpoint: a folder or a GGUF file.")
    parser.add_argument("--template", default="", help="A prompt format, when not the checkpoint's own.")
    parser.add_argument("--rows", type=whole(1), default=3, metavar="N", help="How many conversations (3).")
    parser.add_argument("--ids", action="store_true", help="One token a line, with its number.")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    speech = tokenizing.load(options["model"], options["template"])
    source = records(options["files"], source_format=options["source_format"])
    shown = list(islice((record for record in source if isinstance(record, Conversation)), options["rows"]))
    if not shown:
        raise CommandError("There are no conversations in these files.")
    certificate = certify(
        speech.template, speech.tokenize, speech.decode, speech.ends, name=speech.key, samples=shown
    )
    coloured = options["color"] == "always" or (options["color"] == "auto" and sys.stdout.isatty())
    masker = Masker(speech.template, speech.tokenize, certificate.cut)
    for conversation in shown:
        for messages in unrolled(conversation, certificate.cut):
            out.write(f"── {conversation.id}")
            try:
                row = masker.detailed(messages, conversation.extra)
            except BadRow as error:
                out.write(error.detail)
                continue
            out.write(_listed(row, speech) if options["ids"] else _painted(row, coloured=coloured))
            out.write(f"{len(row.ids)} tokens, {sum(row.mask)} of them carry loss")
    out.write("\n".join(_told(certificate)))


def _painted(row: Detailed, *, coloured: bool) -> str:
    """The text with what carries loss marked: by colour, or by brackets."""
    before, behind = (LOSS, END + PROMPT) if coloured else ("⟦", "⟧")
    parts, at = [PROMPT if coloured else ""], 0
    for turn in row.turns:
        start, end = turn.span
        parts += [row.text[at:start], before, row.text[start:end], behind]
        at = end
    return "".join([*parts, row.text[at:], END if coloured else ""])


def _listed(row: Detailed, speech: tokenizing.Speech) -> str:
    lines = (
        f"{'●' if trained else ' '} {token:>7} {speech.decode([token])!r}"
        for token, trained in zip(row.ids, row.mask, strict=True)
    )
    return "\n".join(lines)


def _told(certificate: Certificate) -> list[str]:
    verdict = "granted" if certificate.valid else "REFUSED"
    head = f"certificate {certificate.key[:12]}: {verdict}, rows cut {certificate.cut}"
    return [
        head,
        *(f"  {'✓' if check.passed else '✗'} {check.name} {check.detail}" for check in certificate.checks),
    ]
