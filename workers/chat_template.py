"""The place where messages become a prompt: serving and training both come here, so they cannot differ.

A chat template is a Jinja program, run in a sandbox under the rules of transformers (same filters, functions and white
space; source: transformers' documentation, "Writing a chat template"). Pure: no files, no tokenizer, no Django.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple, TypeAlias

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

Message: TypeAlias = Any
"""A `ChatMessage`, or a mapping with `role` and `content` (a text, or parts as in OpenAI's API)."""

# Wrapped around an assistant's text to see where a template puts it. From the private use area: no text has them.
BEGIN, END, STOP = "\ue0f0", "\ue0f1", "\ue0f2"
_MARK_AND_TEXT = re.compile(f"(.*?)(?:({BEGIN}|{END})(\\d*){STOP}|\\Z)", re.DOTALL)


class BadTemplate(ValueError):  # noqa: N818 - reads as what happened
    """A chat template that cannot be read, or that refuses these messages. One sentence with the cause."""


class Span(NamedTuple):
    """Characters `start` up to `end` of a prompt."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt, and where in it the assistant speaks."""

    text: str
    spans: tuple[Span, ...] = ()
    """One for each assistant message with text, in order: what a model has to write, its end of turn included."""


class ChatTemplate:
    """One template, compiled once. Thread-safe.

    `variables` are what it may use beside the messages, for example `bos_token` and `eos_token`.
    """

    def __init__(self, source: str, *, name: str = "", variables: Mapping[str, Any] | None = None):
        self.source = source
        self.name = name
        self._variables = dict(variables or {})
        self._says_where = "generation" in source and "endgeneration" in source
        try:
            self._template = _environment().from_string(source)
        except (TemplateError, RecursionError) as error:
            raise BadTemplate(
                f"The chat template {name or 'of the checkpoint'} is broken: {error}."
            ) from None

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True, **variables: Any
    ) -> str:
        """The prompt as text. `add_generation_prompt` opens the assistant's turn. Raises `BadTemplate`."""
        text = self._run(_plain(messages), add_generation_prompt=add_generation_prompt, variables=variables)
        return _Marks.taken_out_of(text).text if self._says_where else text

    def render_with_spans(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False, **variables: Any
    ) -> Rendered:
        """The prompt, and the spans of the assistant's turns (for a loss mask). Raises `BadTemplate`.

        A template with `{% generation %}` blocks says itself where they are. From any other they are found by
        rendering it with marks around each text, which must not change it.
        """
        entries = _plain(messages)
        text = self._run(entries, add_generation_prompt=add_generation_prompt, variables=variables)
        if self._says_where:
            marks = _Marks.taken_out_of(text)
            return Rendered(marks.text, marks.spans)
        return _Search(
            self, entries, text, add_generation_prompt=add_generation_prompt, variables=variables
        ).found()

    def _run(
        self, messages: list[dict[str, Any]], *, add_generation_prompt: bool, variables: Mapping[str, Any]
    ) -> str:
        values = {**self._variables, **variables}
        try:
            return self._template.render(
                {"tools": None, "documents": None, **values},
                messages=messages,
                add_generation_prompt=add_generation_prompt,
            )
        except Exception as error:  # a template is a program: it can fail in any way
            raise BadTemplate(
                f"The chat template {self.name or 'of the checkpoint'} cannot write these messages: {error}."
            ) from None


class _Search:
    """Where a template puts the texts of the assistant."""

    def __init__(
        self,
        template: ChatTemplate,
        messages: list[dict[str, Any]],
        text: str,
        *,
        add_generation_prompt: bool,
        variables: Mapping[str, Any],
    ):
        self._template, self._messages, self._text = template, messages, text
        self._variables = variables
        marked = [_marked(message, str(number)) for number, message in enumerate(messages)]
        self._marks = _Marks.taken_out_of(
            template._run(marked, add_generation_prompt=add_generation_prompt, variables=variables)
        )

    def found(self) -> Rendered:
        if self._marks.text != self._text:
            raise self._cannot_tell()
        turns = [number for number, message in enumerate(self._messages) if _speaks(message)]
        # A turn without an end is one that the template leaves out.
        spans = (self._span(turn) for turn in turns if str(turn) in self._marks.ends)
        return Rendered(self._text, tuple(spans))

    def _cannot_tell(self) -> BadTemplate:
        return BadTemplate(
            f"The chat template {self._template.name or 'of the checkpoint'} changes what the assistant said, so it "
            "cannot be told where that stands. Put {% generation %} … {% endgeneration %} around it."
        )

    def _span(self, turn: int) -> Span:
        return Span(self._start(turn), self._end(turn, self._marks.ends[str(turn)]))

    def _start(self, turn: int) -> int:
        """Where the open turn ends: between it and the text there may be a blank, which the model has to write.

        A text whose beginning the template leaves out (thoughts of earlier turns) has no mark there.
        """
        start = self._marks.begins.get(str(turn))
        opened = self._run(turn, add_generation_prompt=True)
        if opened and self._text.startswith(opened) and (start is None or len(opened) <= start):
            return len(opened)
        if start is None:
            raise self._cannot_tell()
        return start

    def _end(self, turn: int, end: int) -> int:
        """Behind the end of the turn: what follows the text when this is the last message, and follows it here too.

        A line end behind the mark of the turn's end does not count: by then the model has been stopped.
        """
        alone = _marked_end(self._run_marked(turn), str(turn))
        pairs = takewhile(lambda pair: pair[0] == pair[1], zip(alone, self._text[end:], strict=False))
        common = "".join(letter for letter, _ in pairs)
        return end + (len(common.rstrip()) or len(common))

    def _run_marked(self, turn: int) -> str:
        last = _marked(self._messages[turn], str(turn))
        return self._try([*self._messages[:turn], last], add_generation_prompt=False)

    def _run(self, count: int, *, add_generation_prompt: bool) -> str:
        return self._try(self._messages[:count], add_generation_prompt=add_generation_prompt)

    def _try(self, messages: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
        try:
            return self._template._run(
                messages, add_generation_prompt=add_generation_prompt, variables=self._variables
            )
        except BadTemplate:  # one that wants a person's message, and there is none in front
            return ""


class _Marks(NamedTuple):
    """A text without the marks that were in it, and where each of them was, by the name it bears."""

    text: str
    begins: dict[str, int]
    ends: dict[str, int]
    spans: tuple[Span, ...]
    """From each begin to the end behind it, whatever their names."""

    @classmethod
    def taken_out_of(cls, marked: str) -> "_Marks":
        pieces, begins, ends, spans = [], {}, {}, []
        length = begun = 0
        for piece, kind, name in _MARK_AND_TEXT.findall(marked):
            pieces.append(piece)
            length += len(piece)
            if kind == BEGIN:
                begins[name] = begun = length
            elif kind == END:
                ends[name] = length
                spans.append(Span(begun, length))
        return cls("".join(pieces), begins, ends, tuple(spans))


def _marked_end(marked: str, name: str) -> str:
    """What follows the end that bears the name."""
    return marked.partition(END + name + STOP)[2]


def _speaks(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return message.get("role") == "assistant" and isinstance(content, str) and bool(content.strip())


def _marked(message: dict[str, Any], name: str) -> dict[str, Any]:
    """The message with marks around an assistant's text.

    White space at its ends stays outside, since some templates cut it off.
    """
    if not _speaks(message):
        return message
    content = message["content"]
    core = content.strip()
    before, _, after = content.partition(core)
    return {**message, "content": f"{before}{BEGIN}{name}{STOP}{core}{END}{name}{STOP}{after}"}


def _plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """As dictionaries, without what a message does not have: templates ask `is defined`."""
    return [
        {key: value for key, value in entry.items() if value not in (None, (), "") or key == "content"}
        for entry in map(_as_dict, messages)
    ]


def _as_dict(message: Message) -> dict[str, Any]:
    if is_dataclass(message) and not isinstance(message, type):
        return asdict(message)
    return dict(message)


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: what the assistant has to write, as transformers marks it."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        return BEGIN + STOP + caller() + END + STOP


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment


def _raise(message: str) -> None:
    raise TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - a template may give it by place
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """Not Jinja's own, which writes `<` and `>` as escapes."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
