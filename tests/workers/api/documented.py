"""The examples of the guides, as a reader copies them: fenced blocks of the Markdown files, by page and line."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from tests.workers.api.conftest import LiveServer

ADDRESS: Final = "http://127.0.0.1:8000"
KEY: Final = "sk-…"
MODEL: Final = "smollm2-135m-instruct"
_BLOCK: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE_CURL: Final = re.compile(r"`(?P<text>curl [^`]+)`")


@dataclass(frozen=True)
class Example:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def examples() -> Iterator[Example]:
    """Of the READMEs and of everything under docs/, in reading order; a `curl` within a sentence counts as bash."""
    root = Path(settings.BASE_DIR)
    for path in [*sorted(root.glob("README*.md")), *sorted(root.glob("docs/**/*.md"))]:
        text, page = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        found = [(match, match["language"]) for match in _BLOCK.finditer(text)]
        found += [(match, "bash") for match in _INLINE_CURL.finditer(_BLOCK.sub(_blank, text))]
        for match, language in sorted(found, key=lambda each: each[0].start()):
            yield Example(page, text.count("\n", 0, match.start()) + 1, language, match["text"])


def _blank(match: re.Match[str]) -> str:
    """As long as the match, so that places stay what they were."""
    return re.sub(r"[^\n]", " ", match[0])


def filled(text: str, live: LiveServer, model: str = "parrot") -> str:
    """`text` for the live server: its address, a key of its own, and a chat model that needs no weights."""
    address = f"127.0.0.1:{live.port}"
    for written, true in (
        (ADDRESS.removeprefix("http://"), address),
        ("localhost:8000", address),
        (KEY, live.keys["alice"]),
        (MODEL, model),
    ):
        text = text.replace(written, true)
    return text


def write_files(folder: Path) -> None:
    """What the examples read."""
    question = {"role": "user", "content": "Name three rivers."}
    asked = {"model": "parrot", "messages": [question]}
    request = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": asked}
    (folder / "requests.jsonl").write_text(json.dumps(request) + "\n")
    talk = {"messages": [question, {"role": "assistant", "content": "Po, Ebro, Rhine."}]}
    for name in ("identity.jsonl", "examples.jsonl"):
        (folder / name).write_text((json.dumps(talk) + "\n") * 10)
