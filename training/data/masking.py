"""Conversations as token ids with a loss mask, for any chat template.

Where the assistant speaks is told by the same template code that serves the model (`workers.chat_template`); here
its characters become tokens. A token carries loss when it has to be written by the model: the answer and the mark
that ends it, nothing of the prompt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from training.data.records import BadRow, Conversation, Message

T = TypeVar("T")
Ids = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


class Rendered(Protocol):
    """A prompt, and where in it the assistant speaks."""

    @property
    def text(self) -> str: ...
    @property
    def spans(self) -> Sequence[tuple[int, int]]: ...


class Template(Protocol):
    """`workers.chat_template.ChatTemplate` is one. Raises `ValueError` for messages it refuses."""

    def render(
        self, messages: Sequence[Any], *, add_generation_prompt: bool = True, **variables: Any
    ) -> str: ...
    def render_with_spans(
        self, messages: Sequence[Any], *, add_generation_prompt: bool = False, **variables: Any
    ) -> Rendered: ...


class Encoding(NamedTuple):
    ids: list[int]
    offsets: list[tuple[int, int]]
    """Of each token, its characters in the text."""


Tokenize = Callable[[str], Encoding]
"""Text as it stands: no beginning-of-text token is added, since templates write their own."""


class Cut(StrEnum):
    """How a conversation becomes rows. The first that a tokenizer and template allow is used."""

    WHOLE = "whole"
    """One row, tokenised in one go."""
    SPLIT = "split"
    """One row, tokenised afresh at each answer: for prompts whose last letters melt into the answer's first token."""
    UNROLLED = "unrolled"
    """One row for each answer with all in front of it: for templates that write earlier turns differently."""
    UNROLLED_SPLIT = "unrolled-split"


@dataclass(frozen=True, slots=True)
class Example:
    """One row to learn from."""

    ids: Ids
    mask: Flags
    """Which tokens carry loss."""
    truncated: int = 0
    """Tokens that were cut off its end."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def supervised(self) -> int:
        return int(self.mask.sum())


class Turn(NamedTuple):
    """One answer in a row, for those who look closely."""

    message: Message
    number: int
    """Which of the row's messages it is, from 0."""
    span: tuple[int, int]
    tokens: tuple[int, int]
    """Its first token and the one behind its last."""


class Detailed(NamedTuple):
    text: str
    ids: list[int]
    offsets: list[tuple[int, int]]
    mask: list[bool]
    turns: list[Turn]


@dataclass(frozen=True, slots=True)
class Masker:
    template: Template
    tokenize: Tokenize
    cut: Cut = Cut.WHOLE
    max_length: int = 0
    """Tokens of a row at most; 0 is no limit."""

    def rows(self, conversation: Conversation) -> list[Example]:
        """Every row of a conversation that carries loss. Raises `BadRow` when none does, or the template refuses."""
        examples = [
            self._example(messages, conversation.extra) for messages in unrolled(conversation, self.cut)
        ]
        kept = [example for example in examples if example.supervised]
        if not kept:
            cut = any(example.truncated for example in examples)
            reason = "its answers lie behind the length limit" if cut else "it has no answer to learn"
            raise BadRow("no_loss", f"No token of it carries loss: {reason}.")
        return kept

    def detailed(self, messages: Sequence[Message], extra: Mapping[str, Any] | None = None) -> Detailed:
        """One row with its text and turns, not cut off. Raises `BadRow`."""
        rendered = self._render(messages, extra or {})
        spans = [(int(start), int(end)) for start, end in rendered.spans]
        speakers = _speakers(messages, len(spans))
        trained = [
            (number, span) for number, span in zip(speakers, spans, strict=True) if messages[number].trained
        ]
        if self.cut in (Cut.UNROLLED, Cut.UNROLLED_SPLIT):
            trained = trained[-1:]
        splits = self.cut in (Cut.SPLIT, Cut.UNROLLED_SPLIT)
        ids, offsets = self._encode(rendered.text, [span[0] for _, span in trained] if splits else [])
        mask = token_mask(offsets, [span for _, span in trained])
        turns = [Turn(messages[number], number, span, _tokens_of(offsets, span)) for number, span in trained]
        return Detailed(rendered.text, ids, offsets, mask, turns)

    def prompt_ids(self, messages: Sequence[Message], extra: Mapping[str, Any] | None = None) -> list[int]:
        """What the model is given when it shall answer these messages. Raises `BadRow`."""
        text = _guarded(
            lambda: self.template.render(
                [message.as_dict() for message in messages],
                add_generation_prompt=True,
                **_variables(extra or {}),
            )
        )
        return self.tokenize(text).ids

    def _example(self, messages: Sequence[Message], extra: Mapping[str, Any]) -> Example:
        detailed = self.detailed(messages, extra)
        end = self.max_length or len(detailed.ids)
        return Example(
            np.asarray(detailed.ids[:end], np.int32),
            np.asarray(detailed.mask[:end], np.bool_),
            max(0, len(detailed.ids) - end),
        )

    def _render(self, messages: Sequence[Message], extra: Mapping[str, Any]) -> Rendered:
        return _guarded(
            lambda: self.template.render_with_spans(
                [message.as_dict() for message in messages],
                add_generation_prompt=False,
                **_variables(extra),
            )
        )

    def _encode(self, text: str, starts: Sequence[int]) -> Encoding:
        if not starts:
            return self.tokenize(text)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for start, end in zip((0, *starts), (*starts, len(text)), strict=True):
            piece = self.tokenize(text[start:end])
            ids += piece.ids
            offsets += [(first + start, last + start) for first, last in piece.offsets]
        return Encoding(ids, offsets)


def unrolled(conversation: Conversation, cut: Cut) -> list[tuple[Message, ...]]:
    """The messages of each row."""
    messages = conversation.messages
    if cut in (Cut.WHOLE, Cut.SPLIT):
        return [messages]
    return [messages[: index + 1] for index, message in enumerate(messages) if message.trained]


def token_mask(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Which tokens overlap one of `spans` (in rising order).

    Some tokenizers give blanks no characters of their own ("trimmed" offsets); such a token stands where the one in
    front of it ends, and belongs to the span around that place.
    """
    flags = [False] * len(offsets)
    index = 0
    end_before = 0
    for number, (start, end) in enumerate(offsets):
        while index < len(spans) and spans[index][1] <= (start if start < end else end_before):
            index += 1
        if index < len(spans):
            first, last = spans[index]
            flags[number] = end > first and start < last if start < end else first <= end_before < last
        end_before = max(end_before, end)
    return flags


def _tokens_of(offsets: Sequence[tuple[int, int]], span: tuple[int, int]) -> tuple[int, int]:
    numbers = [number for number, flag in enumerate(token_mask(offsets, [span])) if flag]
    return (numbers[0], numbers[-1] + 1) if numbers else (0, 0)


def _speakers(messages: Sequence[Message], count: int) -> list[int]:
    """The numbers of the messages whose spans these are: all of the assistant's, or those that have a text."""
    assistants = [number for number, message in enumerate(messages) if message.role == "assistant"]
    if len(assistants) == count:
        return assistants
    speaking = [number for number in assistants if messages[number].text.strip()]
    if len(speaking) == count:
        return speaking
    if all(messages[number].trained for number in assistants):
        # A template that leaves out some of them: which ones does not matter.
        return assistants[len(assistants) - count :]
    raise BadRow(
        "lost_turns",
        f"The template writes {count} of {len(assistants)} answers, so it cannot be told which have the weight 0.",
    )


def _variables(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a row hands its template beside the messages."""
    return {name: extra[name] for name in ("tools", "documents") if extra.get(name)}


def _guarded(render: Callable[[], T]) -> T:
    try:
        return render()
    except ValueError as error:
        raise BadRow("template", str(error)) from None
