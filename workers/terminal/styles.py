"""How a talk looks: four ways to read from a person and to show an answer.

A style knows nothing of chat models. `read` raises `EOFError` at the end and `KeyboardInterrupt` on Ctrl-C;
`answer` prints deltas as they come.
"""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from workers.protocol import ChatMessage

# FastChat's marker; programs that drive its terminal chat write it behind each message.
END_OF_MESSAGE: Final = " __END_OF_A_MESSAGE_47582648__\n"
PERSON: Final = "user"
MODEL: Final = "assistant"
# What VT100 and all after it understand: to the line's beginning, and erase the line.
CLEAR_LINE: Final = "\r\x1b[2K"


class Style(Protocol):
    def read(self) -> str:
        """The next message or command."""

    def answer(self, deltas: Iterable[str]) -> None:
        """Show an answer while it is made."""

    def waiting(self, text: str) -> None:
        """Within `answer`, while nothing has come: say why, in the place of what was said before."""

    def replay(self, messages: Iterable[ChatMessage]) -> None:
        """Show messages that were said before."""

    def note(self, text: str) -> None:
        """Tell the person something that is not part of the talk."""

    def problem(self, text: str) -> None:
        """Tell the person that something did not work."""


class PlainStyle:
    """For pipes: a line is a message, an answer is its text and a line end. Notes go to standard error."""

    def __init__(self, source: TextIO, output: TextIO, notes: TextIO):
        self._source, self._output, self._notes = source, output, notes

    def read(self) -> str:
        line = self._source.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def answer(self, deltas: Iterable[str]) -> None:
        try:
            for delta in deltas:
                self._write(delta)
        finally:
            self._write("\n")

    def waiting(self, text: str) -> None:
        """Nothing: a pipe waits, and a line of it cannot be taken back."""

    def replay(self, messages: Iterable[ChatMessage]) -> None:
        """Nothing: who reads the pipe has had them."""

    def note(self, text: str) -> None:
        print(text, file=self._notes, flush=True)

    def problem(self, text: str) -> None:
        self.note(text)

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()


class ProgrammaticStyle(PlainStyle):
    """For programs, as FastChat's: messages end with a marker, and every line says who speaks.

    What is left without a marker when the input ends is no message.
    """

    def read(self) -> str:
        lines: list[str] = []
        while line := self._source.readline():
            lines.append(line)
            if line.endswith(END_OF_MESSAGE):
                text = "".join(lines).removesuffix(END_OF_MESSAGE)
                self._write(f"[!OP:{PERSON}]: {text}\n")
                return text
        if "".join(lines).strip():
            self.note(
                f"The input ended within a message: it needs {END_OF_MESSAGE.strip()} and a line end behind it."
            )
        raise EOFError

    def answer(self, deltas: Iterable[str]) -> None:
        self._write(f"[!OP:{MODEL}]: ")
        super().answer(deltas)

    def replay(self, messages: Iterable[ChatMessage]) -> None:
        for message in messages:
            self._write(f"[!OP:{message.role}]: {message.content}\n")


class SimpleStyle:
    """For a person at any terminal: names in front, text as it comes."""

    def __init__(self, name: str, *, multiline: bool = False):
        """With `multiline` a message goes on until Ctrl-D (or a dot) on a line of its own; a command is one line."""
        self._name = name
        self._multiline = multiline
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._waits = False

    def read(self) -> str:
        self._console.print()
        # The prompt goes through input(), which then knows its width when the line is edited.
        first = input(f"{PERSON}: ")
        if not self._multiline or first.startswith("!!"):
            return first
        lines = [first]
        while True:
            try:
                line = input("... ")
            except EOFError:
                self._console.print()
                break
            if line == ".":
                break
            lines.append(line)
        return "\n".join(lines)

    def answer(self, deltas: Iterable[str]) -> None:
        self._begin()
        try:
            for delta in deltas:
                self._stop_waiting()
                sys.stdout.write(harmless(delta))
                sys.stdout.flush()
        finally:
            self._stop_waiting()
            sys.stdout.write("\n")
            sys.stdout.flush()

    def waiting(self, text: str) -> None:
        if self._console.is_terminal:  # elsewhere a line cannot be taken back
            self._waits = True
            sys.stdout.write(CLEAR_LINE)
            self._begin()
            self._console.print(f"({harmless(text)})", style="dim", end="", soft_wrap=True)

    def _stop_waiting(self) -> None:
        if self._waits:
            self._waits = False
            sys.stdout.write(CLEAR_LINE)
            self._begin()

    def _begin(self) -> None:
        self._console.print(f"{self._name}: ", style="bold", end="")

    def replay(self, messages: Iterable[ChatMessage]) -> None:
        for message in messages:
            if message.role == "assistant":
                self.answer([message.content])
            else:
                self._console.print(f"\n{PERSON}: {harmless(message.content)}", soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(harmless(text), style="dim", soft_wrap=True)

    def problem(self, text: str) -> None:
        self._console.print(harmless(text), style="red", soft_wrap=True)


class RichStyle(SimpleStyle):
    """Markdown, rendered while it comes; history, completion and lines that can be edited."""

    def __init__(self, name: str, words: Iterable[str] = (), *, multiline: bool = False, mouse: bool = False):
        """Esc Enter begins a new line; with `multiline` Enter does, and Esc Enter sends the message."""
        super().__init__(name)
        self._live: Live | None = None
        keys = KeyBindings()

        @keys.add("escape", "enter", filter=not multiline)
        def new_line(event: KeyPressEvent) -> None:
            event.app.current_buffer.newline()

        self._session: PromptSession[str] = PromptSession(
            history=InMemoryHistory(),
            auto_suggest=AutoSuggestFromHistory(),
            completer=WordCompleter(list(words), sentence=True),
            complete_while_typing=True,
            key_bindings=keys,
            multiline=multiline,
            mouse_support=mouse,
        )

    def read(self) -> str:
        self._console.print()
        return self._session.prompt(f"{PERSON}: ")

    def answer(self, deltas: Iterable[str]) -> None:
        self._console.print(f"{self._name}:", style="bold")
        text = ""
        # What is being written is shown up to the screen's height, and gives way to the whole when it is complete:
        # a live region taller than the screen cannot be redrawn.
        try:
            with _silent_keys(), Live(console=self._console, transient=True, refresh_per_second=8) as live:
                self._live = live
                for delta in deltas:
                    text += harmless(delta)
                    live.update(self._tail(text))
        finally:
            self._live = None
            if text:
                self._console.print(self._markdown(text))

    def waiting(self, text: str) -> None:
        if self._live is not None:
            self._live.update(Text(f"({harmless(text)})", style="dim"))

    def _tail(self, text: str) -> Markdown | Text:
        lines = self._console.render_lines(self._markdown(text), pad=False)
        room = max(self._console.height - 2, 1)
        if len(lines) <= room:
            return self._markdown(text)
        shown = Text(no_wrap=True)
        for line in lines[-room:]:
            for segment in line:
                shown.append(segment.text, segment.style)
            shown.append("\n")
        shown.rstrip()
        return shown

    def _markdown(self, text: str) -> Markdown:
        # A link shows where it leads; and a single line end stays one, as people write them.
        return Markdown("\n".join(_kept_line_ends(text)), hyperlinks=False)


@contextmanager
def _silent_keys() -> Iterator[None]:
    """Keys pressed meanwhile (Ctrl-C is one) are kept for the next prompt, but do not write into the live region."""
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    silent = termios.tcgetattr(descriptor)
    silent[3] &= ~termios.ECHO  # [3] is lflag
    termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _kept_line_ends(text: str) -> Iterator[str]:
    """Two blanks at the end of a line make Markdown keep it; inside a code block they would be copied along."""
    fenced = False
    for line in text.split("\n"):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            yield line
        else:
            yield line if fenced or not line.strip() else line + "  "


def harmless(text: str) -> str:
    """`text` without control characters: a chat model must not move the cursor or write to the clipboard."""
    return "".join(
        character for character in text if character in "\n\t" or unicodedata.category(character) != "Cc"
    )
