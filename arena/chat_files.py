"""Conversations from the files of other programs. Pure: bytes in, values out; knows no database.

Read are (each told by its own keys, not by the file's name):

* ChatGPT's data export, `conversations.json` or the whole ZIP: a list of `{title, create_time, mapping, current_node}`,
  where `mapping` is a tree of messages and `current_node` the end of the branch that was shown;
* ShareGPT: `{id, conversations: [{from, value}]}`, a list or one per line;
* FastChat's logs: a line for each event, with the whole conversation in `state` (or one per side in `states`), of which
  the latest of each `conv_id` counts;
* this site's own export, and any `{title, messages: [{role, content}]}` in OpenAI's shape, a list or one per line.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from arena.errors import InvalidValue

MOST_CHATS = 5000
LARGEST_UNPACKED = 200 * 1024 * 1024  # bytes
LONGEST_TEXT = 500_000  # characters of one message or answer
LONGEST_SYSTEM_PROMPT = 20_000
ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
}


class Said(NamedTuple):
    role: str
    """`user`, `assistant` or `system`."""
    text: str
    chat_model: str = ""


class Turn(NamedTuple):
    question: str
    answer: str
    """ "" when nobody answered."""
    chat_model: str


class Chat(NamedTuple):
    key: str
    """The same for the same conversation, whichever file it stands in."""
    title: str
    system_prompt: str
    turns: list[Turn]
    created_at: datetime | None


class Contents(NamedTuple):
    chats: list[Chat]
    left_out: int
    """Entries in which there is nothing to show."""


def read(content: bytes) -> Contents:
    """Raises `InvalidValue` with a sentence for a file that holds no conversations."""
    entries = list(_entries(_parsed(_unpacked(content))))
    if not entries:
        raise InvalidValue(
            _(
                "There are no conversations in this file. Known are ChatGPT's export, ShareGPT, FastChat's logs, and"
                " JSON with “messages”."
            ),
            field="file",
        )
    chats: dict[str, Chat] = {}
    left_out = 0
    for entry in entries:
        chat = _chat(entry)
        if chat.turns:
            chats[chat.key] = chat
        else:
            left_out += 1
    if len(chats) > MOST_CHATS:
        raise InvalidValue(
            _("There are %(found)d conversations in this file; at most %(limit)d are possible. Split it.")
            % {"found": len(chats), "limit": MOST_CHATS},
            field="file",
        )
    return Contents(list(chats.values()), left_out)


class _Entry(NamedTuple):
    name: str
    """What the other program calls it; "" for none."""
    title: str
    said: list[Said]
    created_at: datetime | None


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"PK\x03\x04"):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.rsplit("/", 1)[-1] == "conversations.json"]
            if not names:
                raise InvalidValue(_("There is no conversations.json in this ZIP file."), field="file")
            with archive.open(names[0]) as member:
                unpacked = member.read(LARGEST_UNPACKED + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
        raise InvalidValue(_("This ZIP file is damaged, or locked by a password."), field="file") from None
    if len(unpacked) > LARGEST_UNPACKED:
        raise InvalidValue(_("The conversations.json in this ZIP file is too large."), field="file")
    return unpacked


def _parsed(content: bytes) -> list[Any]:
    """The file's entries: of a JSON list, of one object, or of one object per line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidValue(_("This file is no text in UTF-8."), field="file") from None
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return list(_lines(text))
    return whole if isinstance(whole, list) else [whole]


def _lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            raise InvalidValue(
                _("This file is neither JSON nor JSON lines: line %(number)d cannot be read.")
                % {"number": number},
                field="file",
            ) from None


def _entries(rows: list[Any]) -> Iterator[_Entry]:
    logged: dict[str, _Entry] = {}
    for row in rows:
        if not isinstance(row, dict):
            continue
        if isinstance(row.get("mapping"), dict):
            yield _chatgpt(row)
        elif isinstance(row.get("conversations"), list):
            said = [_said(one, "from", "value") for one in row["conversations"]]
            yield _Entry(_string(row.get("id")), _string(row.get("title")), said, None)
        elif isinstance(row.get("messages"), list):
            said = [_said(one, "role", "content") for one in row["messages"]]
            yield _Entry(_string(row.get("id")), _string(row.get("title")), said, _first_time(row))
        else:
            for entry in _fastchat(row):
                # Each event has all that was said until then, so the last one is the longest.
                logged[entry.name or str(len(logged))] = entry
    yield from logged.values()


def _chatgpt(row: dict[str, Any]) -> _Entry:
    mapping, said = row["mapping"], []
    node_id, seen = row.get("current_node"), set[str]()
    while isinstance(node_id, str) and node_id not in seen and isinstance(mapping.get(node_id), dict):
        seen.add(node_id)
        node = mapping[node_id]
        if spoken := _chatgpt_said(node.get("message")):
            said.append(spoken)
        node_id = node.get("parent")
    name = _string(row.get("conversation_id") or row.get("id"))
    return _Entry(name, _string(row.get("title")), said[::-1], _time(row.get("create_time")))


def _chatgpt_said(message: Any) -> Said | None:
    if not isinstance(message, dict):
        return None
    content, author, about = (message.get(part) or {} for part in ("content", "author", "metadata"))
    if not all(isinstance(part, dict) for part in (content, author, about)):
        return None
    # What the program says to itself: hidden instructions, calls of tools and their results.
    if about.get("is_visually_hidden_from_conversation") or message.get("recipient", "all") != "all":
        return None
    parts = content.get("parts") if isinstance(content.get("parts"), list) else [content.get("text")]
    text = "\n\n".join(part for part in parts or [] if isinstance(part, str) and part)
    role = ROLES.get(_string(author.get("role")), "")
    return Said(role, text, _string(about.get("model_slug"))) if role and text else None


def _fastchat(row: dict[str, Any]) -> Iterator[_Entry]:
    states = row["states"] if isinstance(row.get("states"), list) else [row.get("state")]
    for state in states:
        if not isinstance(state, dict) or not isinstance(state.get("messages"), list):
            continue
        offset = state.get("offset") if isinstance(state.get("offset"), int) else 0
        model = _string(state.get("model_name") or row.get("model"))
        said = [Said("system", _string(state.get("system_message")))]
        # Two roles take turns, under names that differ from template to template.
        roles = state.get("roles")
        asker = roles[0] if isinstance(roles, list) and roles else None
        for number, message in enumerate(state["messages"][max(offset or 0, 0) :]):
            if not isinstance(message, list) or len(message) < 2:
                continue
            asked = message[0] == asker if asker is not None else number % 2 == 0
            # A message with images is a pair of the text and the pictures.
            text = message[1][0] if isinstance(message[1], list) and message[1] else message[1]
            said.append(Said("user" if asked else "assistant", _string(text), "" if asked else model))
        yield _Entry(_string(state.get("conv_id")), "", said, _time(row.get("tstamp")))


def _said(message: Any, role_key: str, text_key: str) -> Said:
    if not isinstance(message, dict):
        return Said("", "")
    content = message.get(text_key)
    if isinstance(content, list):  # OpenAI's content parts
        texts = [_string(part.get("text")) for part in content if isinstance(part, dict)]
        content = "\n\n".join(text for text in texts if text)
    model = _string(message.get("chat_model") or message.get("model"))
    return Said(ROLES.get(_string(message.get(role_key)).lower(), ""), _string(content), model)


def _chat(entry: _Entry) -> Chat:
    said = [one._replace(text=one.text[:LONGEST_TEXT].strip("\n")) for one in entry.said if one.text.strip()]
    systems = [one.text for one in said if one.role == "system"]
    turns = _turns([one for one in said if one.role in ("user", "assistant")])
    # One that has a name may have grown since; one without is known by all that was said.
    identity = turns[:1] if entry.name else turns
    named = json.dumps([entry.name, [list(turn[:2]) for turn in identity]])
    return Chat(
        key=hashlib.sha256(named.encode()).hexdigest(),
        title=" ".join(entry.title.split())[:200],
        system_prompt="\n\n".join(systems)[:LONGEST_SYSTEM_PROMPT],
        turns=turns,
        created_at=entry.created_at,
    )


def _turns(said: list[Said]) -> list[Turn]:
    """Questions with their answers. What one side says in several pieces becomes one."""
    turns: list[Turn] = []
    for one in said:
        if one.role == "user" and turns and not turns[-1].answer:
            turns[-1] = turns[-1]._replace(question=f"{turns[-1].question}\n\n{one.text}")
        elif one.role == "user":
            turns.append(Turn(one.text, "", ""))
        elif not turns:
            turns.append(Turn("…", one.text, one.chat_model))  # it begins with a greeting
        else:
            answer = f"{turns[-1].answer}\n\n{one.text}" if turns[-1].answer else one.text
            turns[-1] = turns[-1]._replace(answer=answer, chat_model=one.chat_model or turns[-1].chat_model)
    return turns


def _first_time(row: dict[str, Any]) -> datetime | None:
    times = [message.get("created_at") for message in row["messages"] if isinstance(message, dict)]
    return _time(times[0]) if times else None


def _time(value: Any) -> datetime | None:
    """Seconds since 1970, or ISO 8601; None for what is neither, or lies outside of what a database keeps."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time if time.tzinfo else time.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            time = datetime.fromtimestamp(value, UTC)
            return time if time.year >= 1970 else None
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _string(value: Any) -> str:
    """A string without what databases cannot hold; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()
