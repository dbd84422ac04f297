"""Conversations from the files of other programs. Pure: bytes in, values out; knows no database.

Read are (each told by its own keys, not by the file's name):

* ChatGPT's data export, `conversations.json` or the whole ZIP: a list of `{title, create_time, mapping, current_node}`,
  where `mapping` is a tree of messages and `current_node` the end of the branch that was shown; all branches are read;
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

from arena import chat_trees
from arena.chat_trees import Said, Turn
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


class Chat(NamedTuple):
    key: str
    """The same for the same conversation, whichever file it stands in."""
    title: str
    system_prompt: str
    turns: list[Turn]
    """Of all branches; `chat_trees.shown` gives the one that was shown."""
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
    """With `system` as a third role. One that follows an empty or unknown piece may name that as its `previous`."""
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
            yield _Entry(_string(row.get("id")), _string(row.get("title")), _in_line(said), None)
        elif isinstance(row.get("messages"), list):
            said = [_said(one, "role", "content") for one in row["messages"]]
            yield _Entry(_string(row.get("id")), _string(row.get("title")), _in_line(said), _first_time(row))
        else:
            for entry in _fastchat(row):
                # Each event has all that was said until then, so the last one is the longest.
                logged[entry.name or str(len(logged))] = entry
    yield from logged.values()


def _chatgpt(row: dict[str, Any]) -> _Entry:
    mapping = {name: node for name, node in row["mapping"].items() if isinstance(node, dict)}
    parents = {name: _parent(mapping, name) for name in mapping}
    order = _from_the_roots(mapping, parents)
    end = row.get("current_node")
    shown = _branch(order, parents, end if isinstance(end, str) and end in parents else None)
    place = {name: number for number, name in enumerate(order)}
    said = []
    for name in order:
        spoken = _chatgpt_said(mapping[name].get("message")) or Said("", "")
        parent = parents[name]
        said.append(spoken._replace(previous=None if parent is None else place[parent], shown=name in shown))
    conversation = _string(row.get("conversation_id") or row.get("id"))
    return _Entry(conversation, _string(row.get("title")), said, _time(row.get("create_time")))


def _parent(mapping: dict[str, dict[str, Any]], name: str) -> str | None:
    parent = mapping[name].get("parent")
    return parent if isinstance(parent, str) and parent in mapping and parent != name else None


def _from_the_roots(mapping: dict[str, dict[str, Any]], parents: dict[str, str | None]) -> list[str]:
    """The nodes, each behind its parent, siblings as the parent lists them. What hangs in a circle is left out."""
    children: dict[str | None, list[str]] = {}
    for name, parent in parents.items():
        children.setdefault(parent, []).append(name)
    for parent, names in children.items():
        listed = mapping[parent].get("children") if parent is not None else None
        if isinstance(listed, list):
            rank = {name: number for number, name in enumerate(listed) if isinstance(name, str)}
            names.sort(key=lambda name: rank.get(name, len(rank)))
    order, waiting = [], children.get(None, [])[::-1]
    while waiting:
        order.append(waiting.pop())
        waiting += reversed(children.get(order[-1], []))
    return order


def _branch(order: list[str], parents: dict[str, str | None], end: str | None) -> set[str]:
    """The nodes that lead to `end`; without one, to the newest."""
    if end is None and order:
        end = order[-1]
    branch = set[str]()
    while end is not None and end not in branch:
        branch.add(end)
        end = parents[end]
    return branch


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
        yield _Entry(_string(state.get("conv_id")), "", _in_line(said), _time(row.get("tstamp")))


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
    said = [one._replace(text=one.text[:LONGEST_TEXT].strip("\n")) for one in entry.said]
    systems = [one.text for one in said if one.role == "system" and one.shown and one.text.strip()]
    turns = chat_trees.turns(_spoken(said))
    shown = chat_trees.shown(turns)
    # One that has a name may have grown since; one without is known by all that was said.
    identity = shown[:1] if entry.name else shown
    named = json.dumps([entry.name, [list(exchange[:2]) for exchange in identity]])
    return Chat(
        key=hashlib.sha256(named.encode()).hexdigest(),
        title=" ".join(entry.title.split())[:200],
        system_prompt="\n\n".join(systems)[:LONGEST_SYSTEM_PROMPT],
        turns=turns,
        created_at=entry.created_at,
    )


def _spoken(said: list[Said]) -> list[Said]:
    """What people and chat models said; what followed something else follows what stood in front of that."""
    spoken: list[Said] = []
    places: list[int | None] = []  # of each piece in `spoken`, or of what is in front of it
    for one in said:
        previous = None if one.previous is None else places[one.previous]
        if one.role in ("user", "assistant") and one.text.strip():
            spoken.append(one._replace(previous=previous))
            previous = len(spoken) - 1
        places.append(previous)
    return spoken


def _in_line(said: list[Said]) -> list[Said]:
    """Each follows the one in front of it."""
    return [one._replace(previous=number - 1 if number else None) for number, one in enumerate(said)]


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
