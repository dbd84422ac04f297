"""Rows of the usual file formats as records, and back.

* ShareGPT, as FastChat reads it: `{"id", "conversations": [{"from": "human"|"gpt", "value"}], "system"?}`
* Alpaca (Stanford): `{"instruction", "input", "output"}`, with `system` and `history` as LLaMA-Factory has them
* OpenAI fine-tuning: `{"messages": [{"role", "content"}], "tools"?}`; content may be a list of text parts
* preference pairs: `{"prompt", "chosen", "rejected"}`, each a text or a list of messages (TRL), and OpenAI's
  `{"input": {"messages"}, "preferred_output", "non_preferred_output"}`
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.data.records import BadRow, Conversation, Message, Preference, Record

Row = Mapping[str, Any]

SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
OPENAI_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
TO_SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}
ALPACA_FIELDS = {"id", "instruction", "input", "output", "system", "history"}


def detect(row: Row) -> str:
    """The name of a row's format. Raises `BadRow` for one that is none of them."""
    if not isinstance(row, Mapping):
        raise BadRow("not_an_object", "The row is not a JSON object.")
    for name, fields in _SIGNS:
        if all(row.get(field) is not None for field in fields):
            return name
    shown = ", ".join(sorted(map(str, row))[:8]) or "none"
    raise BadRow(
        "unknown_format",
        f"No known format has these fields: {shown}. Expected conversations, messages, instruction and output, "
        "or prompt, chosen and rejected.",
    )


def read(row: Row, *, number: int, name: str = "") -> Record:
    """The record of the `number`th row (from 1), which names it when it has no id. Raises `BadRow`."""
    reader = READERS.get(name or detect(row))
    if reader is None:
        raise BadRow("unknown_format", f"{name!r} is not one of {', '.join(READERS)}.")
    if not isinstance(row, Mapping):
        raise BadRow("not_an_object", "The row is not a JSON object.")
    return reader(row, _id_of(row, number))


def write(record: Record, name: str) -> dict[str, Any]:
    """The record as a row of the format. Raises `BadRow` where the format cannot hold it."""
    if isinstance(record, Preference) != (name == "preference"):
        held = "preference pairs" if isinstance(record, Preference) else "conversations"
        raise BadRow("wrong_kind", f"The format {name} cannot hold {held}.")
    if isinstance(record, Preference):
        return _write_preference(record)
    return WRITERS[name](record)


def _id_of(row: Row, number: int) -> str:
    value = row.get("id")
    return str(value) if isinstance(value, str | int) and value != "" else f"row-{number}"


def _text(value: object, where: str) -> str:
    """A content as text: a string, nothing, or OpenAI's list of text parts."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, Sequence):
        parts = [_part(part, where) for part in value]
        return "".join(parts)
    raise BadRow("wrong_type", f"{where} is {type(value).__name__}; it must be text.")


def _part(part: object, where: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    raise BadRow("not_text", f"{where} has a part that is not text.")


def _listed(value: object, field: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise BadRow("wrong_type", f"{field} is {type(value).__name__}; it must be a list.")
    return value


def _message(
    value: object, where: str, role_field: str, text_field: str, roles: Mapping[str, str]
) -> Message:
    if not isinstance(value, Mapping):
        raise BadRow("wrong_type", f"{where} is not an object.")
    role = roles.get(str(value.get(role_field)))
    if role is None:
        raise BadRow(
            "unknown_role",
            f"{where} has {role_field} = {value.get(role_field)!r}; known are {', '.join(roles)}.",
        )
    extra = {
        key: item for key, item in value.items() if key not in (role_field, text_field) and item is not None
    }
    if text_field not in value and "tool_calls" not in extra:
        raise BadRow("missing_field", f"{where} has no {text_field}.")
    return Message(role, _text(value.get(text_field), f"{where}.{text_field}"), extra)


def _messages(value: object, field: str) -> tuple[Message, ...]:
    return tuple(
        _message(item, f"{field}[{index}]", "role", "content", OPENAI_ROLES)
        for index, item in enumerate(_listed(value, field))
    )


def _without(row: Row, *fields: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("id", *fields) and value is not None}


def _read_sharegpt(row: Row, identifier: str) -> Conversation:
    if "conversations" not in row:
        raise BadRow("missing_field", "The field conversations is missing.")
    messages = [
        _message(item, f"conversations[{index}]", "from", "value", SHAREGPT_ROLES)
        for index, item in enumerate(_listed(row["conversations"], "conversations"))
    ]
    if row.get("system"):
        messages.insert(0, Message("system", _text(row["system"], "system")))
    return Conversation(identifier, tuple(messages), _without(row, "conversations", "system"))


def _read_messages(row: Row, identifier: str) -> Conversation:
    if "messages" not in row:
        raise BadRow("missing_field", "The field messages is missing.")
    return Conversation(identifier, _messages(row["messages"], "messages"), _without(row, "messages"))


def _read_alpaca(row: Row, identifier: str) -> Conversation:
    for field in ("instruction", "output"):
        if field not in row:
            raise BadRow("missing_field", f"The field {field} is missing.")
    messages = [Message("system", _text(row["system"], "system"))] if row.get("system") else []
    for index, turn in enumerate(_listed(row.get("history") or [], "history")):
        pair = _listed(turn, f"history[{index}]")
        if len(pair) != 2:
            raise BadRow("wrong_type", f"history[{index}] must be a question and an answer.")
        messages += [
            Message("user", _text(pair[0], "history")),
            Message("assistant", _text(pair[1], "history")),
        ]
    question, given = _text(row["instruction"], "instruction"), _text(row.get("input"), "input")
    # The shape FastChat's convert_alpaca gives it.
    messages.append(Message("user", f"{question}\nInput:\n{given}" if given else question))
    messages.append(Message("assistant", _text(row["output"], "output")))
    return Conversation(identifier, tuple(messages), _without(row, *ALPACA_FIELDS))


def _side(value: object, field: str, role: str) -> tuple[Message, ...]:
    return (Message(role, value),) if isinstance(value, str) else _messages(value, field)


def _read_preference(row: Row, identifier: str) -> Preference:
    if "preferred_output" in row:
        given = row.get("input")
        prompt = _messages(given.get("messages"), "input.messages") if isinstance(given, Mapping) else ()
        chosen = _messages(row["preferred_output"], "preferred_output")
        rejected = _messages(row.get("non_preferred_output"), "non_preferred_output")
        fields = ("input", "preferred_output", "non_preferred_output")
    else:
        prompt = _side(row.get("prompt", []), "prompt", "user")
        chosen = _side(row.get("chosen"), "chosen", "assistant")
        rejected = _side(row.get("rejected"), "rejected", "assistant")
        fields = ("prompt", "chosen", "rejected")
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1  # some files repeat the prompt on both sides
    return Preference(
        identifier, prompt + chosen[:shared], chosen[shared:], rejected[shared:], _without(row, *fields)
    )


def _write_sharegpt(conversation: Conversation) -> dict[str, Any]:
    head = conversation.head
    row: dict[str, Any] = {"id": conversation.id}
    if head:
        row["system"] = "\n\n".join(message.text for message in head)
    row["conversations"] = [
        {"from": TO_SHAREGPT[message.role], "value": message.text, **message.extra}
        for message in conversation.messages[len(head) :]
    ]
    return {**row, **conversation.extra}


def _write_messages(conversation: Conversation) -> dict[str, Any]:
    messages = [message.as_dict() for message in conversation.messages]
    return {"id": conversation.id, "messages": messages, **conversation.extra}


def _write_alpaca(conversation: Conversation) -> dict[str, Any]:
    rounds = conversation.rounds
    if not rounds or any([message.role for message in pair] != ["user", "assistant"] for pair in rounds):
        raise BadRow("wrong_kind", "The format alpaca holds questions with one answer each and nothing else.")
    row: dict[str, Any] = {"id": conversation.id}
    if conversation.head:
        row["system"] = "\n\n".join(message.text for message in conversation.head)
    question, answer = rounds[-1]
    row |= {"instruction": question.text, "input": "", "output": answer.text}
    if len(rounds) > 1:
        row["history"] = [[asked.text, said.text] for asked, said in rounds[:-1]]
    return {**row, **conversation.extra}


def _write_preference(pair: Preference) -> dict[str, Any]:
    sides = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    written = {name: [message.as_dict() for message in messages] for name, messages in sides.items()}
    return {"id": pair.id, **written, **pair.extra}


_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("preference", ("chosen", "rejected")),
    ("preference", ("preferred_output", "non_preferred_output")),
    ("messages", ("messages",)),
    ("sharegpt", ("conversations",)),
    ("alpaca", ("instruction", "output")),
)
READERS: dict[str, Callable[[Row, str], Record]] = {
    "sharegpt": _read_sharegpt,
    "messages": _read_messages,
    "alpaca": _read_alpaca,
    "preference": _read_preference,
}
WRITERS: dict[str, Callable[[Conversation], dict[str, Any]]] = {
    "sharegpt": _write_sharegpt,
    "messages": _write_messages,
    "alpaca": _write_alpaca,
}
NAMES = tuple(READERS)
