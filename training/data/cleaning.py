"""The steps in their order, for one record at a time: `clean` is all that another process needs to run.

What one record alone cannot tell (whether it was seen before) is decided by `training.data.duplicates.Seen` where
the records come together again.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from training.data import duplicates, formats, languages, markdown, personal, shape, splitting, words
from training.data.records import BadRow, Conversation, Message, Preference, Record, Rejected

Moderator = Callable[[str], str]
"""Text → why it must not be used, or ""."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to do. The functions must be importable by name, so that other processes can be handed them."""

    source_format: str = ""
    """Of `formats.NAMES`; "" looks at each row."""
    html: str = "auto"
    """Of `markdown.MODES`."""
    blocked_words: tuple[str, ...] = ()
    keep_languages: tuple[str, ...] = ()
    skip_languages: tuple[str, ...] = ()
    detect_language: languages.Detector | None = None
    personal_data: str = ""
    """"" leaves it, "hide" puts `[EMAIL]` and the like in its place, "drop" drops the record."""
    find_personal: personal.Finder = personal.find
    moderate: Moderator | None = None
    check_lists: bool = True
    drop_repeated_digits: bool = False
    drop_plugins: bool = True
    """Whether to drop ShareGPT's conversations with plugins: half of what was said is missing."""
    count_tokens: splitting.Counter | None = None
    max_tokens: int = 0
    """Split what is longer; 0 splits nothing."""
    near_duplicates: bool = False


class Cleaned(NamedTuple):
    """What became of one row."""

    records: list[Record]
    fingerprints: list[tuple[bytes, Any]]
    """One of each record's, for `Seen`."""
    rejected: Rejected | None
    changes: Mapping[str, int]
    """How often each step changed something: trimmed, personal, split, …"""


@dataclass(slots=True)
class Report:
    """What a run kept, dropped and changed."""

    read: int = 0
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "written": self.written,
            "dropped": dict(self.dropped.most_common()),
            "changed": dict(self.changed.most_common()),
        }


def clean(row: Mapping[str, Any], number: int, options: Options) -> Cleaned:
    """Never raises for what is in the row."""
    changes: Counter[str] = Counter()
    identifier = _name(row, number)
    try:
        record = formats.read(row, number=number, name=options.source_format)
        record = _cleaned(record, options, changes)
        records = _split(record, options, changes)
    except BadRow as error:
        return Cleaned([], [], Rejected(identifier, error.reason, error.detail), changes)
    # Pieces of one conversation are alike where their system message is; they were compared as a whole.
    mark = duplicates.fingerprint(record, near=options.near_duplicates)
    return Cleaned(records, [mark], None, changes)


def _name(row: object, number: int) -> str:
    value = row.get("id") if isinstance(row, Mapping) else None
    return str(value) if isinstance(value, str | int) else f"row-{number}"


def _cleaned(record: Record, options: Options, changes: Counter[str]) -> Record:
    if isinstance(record, Preference):
        return _cleaned_preference(record, options, changes)
    if options.drop_plugins and record.extra.get("plugins") is not None:
        raise BadRow("plugin", "Plugins were used; what they said is missing.")
    conversation = shape.trimmed(record)
    kept = list(conversation.head)
    before = ""
    for message in conversation.messages[len(kept) :]:
        shape.check_order(before, message)
        words.check_words((message,), options.blocked_words)
        cleaned = replace(message, text=markdown.clean_text(message.text, options.html))
        if shape.is_empty(cleaned):
            break
        kept.append(cleaned)
        before = message.role
    conversation = record.with_messages(shape.ended_with_answer(kept))
    changes["trimmed"] += len(conversation.messages) < len(record.messages)
    shape.check_content(conversation)
    _check(conversation.messages, conversation.text, options)
    return conversation.with_messages(_without_personal(conversation.messages, options, changes))


def _cleaned_preference(pair: Preference, options: Options, changes: Counter[str]) -> Preference:
    def tidy(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        texts = (markdown.clean_text(message.text, options.html) for message in messages)
        return tuple(replace(message, text=text) for message, text in zip(messages, texts, strict=True))

    pair = replace(pair, prompt=tidy(pair.prompt), chosen=tidy(pair.chosen), rejected=tidy(pair.rejected))
    shape.check_preference(pair)
    messages = (*pair.prompt, *pair.chosen, *pair.rejected)
    words.check_words(messages, options.blocked_words)
    _check(messages, pair.text, options)
    return replace(
        pair,
        prompt=_without_personal(pair.prompt, options, changes),
        chosen=_without_personal(pair.chosen, options, changes),
        rejected=_without_personal(pair.rejected, options, changes),
    )


def _check(messages: tuple[Message, ...], text: str, options: Options) -> None:
    if options.check_lists:
        shape.check_lists(messages)
    if options.drop_repeated_digits:
        shape.check_repetition(messages)
    if options.detect_language:
        languages.check_language(
            text, options.detect_language, options.keep_languages, options.skip_languages
        )
    if options.moderate and (reason := options.moderate(text)):
        raise BadRow("moderation", reason)


def _without_personal(
    messages: tuple[Message, ...], options: Options, changes: Counter[str]
) -> tuple[Message, ...]:
    if not options.personal_data:
        return messages
    hidden = [personal.hidden(message.text, options.find_personal) for message in messages]
    found = sum(count for _, count in hidden)
    if found and options.personal_data == "drop":
        raise BadRow("personal_data", f"It holds personal data in {found} places.")
    changes["personal_data"] += found
    return tuple(replace(message, text=text) for message, (text, _) in zip(messages, hidden, strict=True))


def _split(record: Record, options: Options, changes: Counter[str]) -> list[Record]:
    if options.count_tokens is None or not options.max_tokens or not isinstance(record, Conversation):
        return [record]
    pieces = splitting.split(record, options.count_tokens, options.max_tokens)
    changes["split"] += len(pieces) > 1
    changes["too_long_round"] += sum(splitting.TOO_LONG in piece.extra for piece in pieces)
    return list(pieces)
