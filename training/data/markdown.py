"""Step: texts scraped from ShareGPT become clean Markdown.

Its pages leave marks in the text: counters of versions ("2 / 3"), labels of copy buttons, and the language of a code
block glued to its first line. What they look like is known from FastChat's clean_sharegpt (Apache-2.0); the code is
ours.
"""

import re

from training.data.html import BadMarkup, looks_like_html, to_markdown
from training.data.records import BadRow

_DIV_OR_SPAN = re.compile(r"<(?:div|span)[^<>\n]*>")
# Bounded, so that a text of many fences is not read to its end from each of them.
_GLUED_LANGUAGE = re.compile(r"```\s*(.{0,4000}?)(?:Copy code)+(.+?)\s*?```", re.DOTALL)
_EMPTY_BLOCK = re.compile(r"```(.{0,4000}?)Copy code\s*```")
_COUNTER = re.compile(r"\d+ / \d+")
_COPY_LABEL = re.compile(r"Copy\d+ chars / \d+ words")

MODES = ("auto", "always", "never")


def clean_text(text: str, mode: str = "auto") -> str:
    """`text` as Markdown without the page's marks.

    `mode`: "auto" leaves texts without tags as they are; "always" reads each as HTML (as FastChat does, which puts a
    backslash in front of every * and _ of plain text); "never" only strips. Raises `BadRow` for markup without end.
    """
    if mode == "never":
        return text.strip()
    if mode == "auto" and not looks_like_html(text):
        return _without_marks(text.strip())
    if "<div" in text or "<span" in text:
        text = _DIV_OR_SPAN.sub("", text)  # their indentation would end up in blocks of code
    try:
        return _without_marks(to_markdown(text).strip())
    except BadMarkup as error:
        raise BadRow("bad_markup", str(error)) from None


def _without_marks(text: str) -> str:
    if "Copy code" in text:
        text = _GLUED_LANGUAGE.sub(r"```\g<1>\n\g<2>\n```", text)
    if text[:1].isdigit() and (match := _COUNTER.match(text)):
        text = text[match.end() :]
    if "Copy" in text:
        text = _EMPTY_BLOCK.sub("", _COPY_LABEL.sub("", text))
    return text.replace("\n\n\n", "\n").strip()
