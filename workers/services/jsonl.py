"""Checks JSONL files line by line and says which line is wrong. Holds one line at a time, whatever the size.

The shapes are OpenAI's. A batch's line: `custom_id`, `method`, `url`, `body` (API reference, "request input object").
A fine-tuning line: `messages` (chat), `prompt` with `completion`, or `input` with `preferred_output` and
`non_preferred_output` (guide "Fine-tuning", "Direct preference optimization").
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

LONGEST_LINE: Final = 10 * 1024 * 1024  # bytes
MOST_BATCH_LINES: Final = 50_000
LONGEST_CUSTOM_ID: Final = 512
ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")


class InvalidLine(Exception):  # noqa: N818 - reads as what happened
    """A line that cannot be used. The text is a sentence without the line's own words."""

    def __init__(self, number: int, message: str, param: str = "") -> None:
        super().__init__(f"Line {number}: {message}")
        self.number = number
        self.message = message
        self.param = param


class Line(NamedTuple):
    number: int
    """From 1."""
    offset: int
    """Bytes before it."""
    length: int
    data: dict[str, Any]


def read(path: Path) -> Iterator[Line]:
    """The lines that are not blank. Raises `InvalidLine` for the first that is no JSON object."""
    offset = 0
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                raise InvalidLine(number, f"It is longer than {LONGEST_LINE // 1024 // 1024} MiB.")
            if raw.strip():
                yield Line(number, offset, len(raw), parse(raw, number))
            offset += len(raw)


def parse(raw: bytes, number: int) -> dict[str, Any]:
    try:
        data = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError:
        raise InvalidLine(number, "It is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidLine(number, f"It is not valid JSON: {error.msg} at column {error.colno}.") from None
    except (RecursionError, ValueError):
        raise InvalidLine(number, "It is nested too deeply, or holds a number that is too long.") from None
    if not isinstance(data, dict):
        raise InvalidLine(number, "It is not a JSON object.")
    return data


def check_batch(path: Path) -> int:
    """How many requests the file has. Raises `InvalidLine`."""
    seen: dict[str, int] = {}
    count = 0
    for line in read(path):
        count += 1
        if count > MOST_BATCH_LINES:
            raise InvalidLine(
                line.number, f"A batch has at most {MOST_BATCH_LINES} requests. Split the file."
            )
        _check_request(line)
        custom_id = line.data["custom_id"]
        if custom_id in seen:
            raise InvalidLine(
                line.number, f"Its 'custom_id' is that of line {seen[custom_id]} already.", "custom_id"
            )
        seen[custom_id] = line.number
    if not count:
        raise InvalidLine(1, "The file is empty. Write one request on each line.")
    return count


def check_fine_tune(path: Path) -> int:
    """How many examples the file has. Raises `InvalidLine`."""
    count = 0
    for line in read(path):
        count += 1
        _check_example(line)
    if not count:
        raise InvalidLine(1, "The file is empty. Write one example on each line.")
    return count


CHECKS: Final[dict[str, Callable[[Path], int]]] = {"batch": check_batch, "fine-tune": check_fine_tune}
"""By purpose."""


def _check_request(line: Line) -> None:
    data, number = line.data, line.number
    custom_id = data.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= LONGEST_CUSTOM_ID:
        raise InvalidLine(
            number, f"It needs a 'custom_id' of 1 to {LONGEST_CUSTOM_ID} characters.", "custom_id"
        )
    if not _storable(custom_id):
        raise InvalidLine(number, "Its 'custom_id' holds a character that cannot be stored.", "custom_id")
    if data.get("method") != "POST":
        raise InvalidLine(number, "Its 'method' must be 'POST'.", "method")
    if not isinstance(data.get("url"), str):
        raise InvalidLine(number, "It needs a 'url', for example '/v1/chat/completions'.", "url")
    if not isinstance(data.get("body"), dict):
        raise InvalidLine(number, "It needs a 'body', the JSON object of the request.", "body")
    if not isinstance(data["body"].get("model"), str):
        raise InvalidLine(number, "Its 'body' needs a 'model'.", "body.model")


def _check_example(line: Line) -> None:
    data, number = line.data, line.number
    if "messages" in data:
        _check_messages(data["messages"], number, "messages")
        if not any(message["role"] == "assistant" for message in data["messages"]):
            raise InvalidLine(
                number, "No message is of the role 'assistant': there is nothing to learn.", "messages"
            )
    elif "preferred_output" in data or "non_preferred_output" in data:
        source = data.get("input")
        if not isinstance(source, dict):
            raise InvalidLine(number, "It needs an 'input' with 'messages'.", "input")
        _check_messages(source.get("messages"), number, "input.messages")
        for name in ("preferred_output", "non_preferred_output"):
            _check_messages(data.get(name), number, name)
    elif not (isinstance(data.get("prompt"), str) and isinstance(data.get("completion"), str)):
        raise InvalidLine(
            number,
            "It needs 'messages', or 'prompt' and 'completion', or an 'input' with two outputs.",
            "messages",
        )


def _check_messages(messages: Any, number: int, param: str) -> None:
    if not isinstance(messages, list) or not messages:
        raise InvalidLine(number, f"Its '{param}' must be a list of messages.", param)
    for index, message in enumerate(messages):
        where = f"{param}[{index}]"
        if not isinstance(message, dict):
            raise InvalidLine(number, f"Its '{where}' is no object.", where)
        if message.get("role") not in ROLES:
            raise InvalidLine(number, f"Its '{where}.role' must be one of {', '.join(ROLES)}.", where)
        if not isinstance(message.get("content"), str | list) and not message.get("tool_calls"):
            raise InvalidLine(number, f"Its '{where}' has no 'content'.", where)


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
