"""How talks are read and shown."""

import io
from contextlib import nullcontext

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from workers.protocol import ChatMessage
from workers.terminal import styles
from workers.terminal.styles import PlainStyle, ProgrammaticStyle, RichStyle, SimpleStyle, harmless


class Piped:
    """A style of `kind` between three pipes."""

    def __init__(self, kind, text: str = ""):
        self.output, self.notes = io.StringIO(), io.StringIO()
        self.style = kind(io.StringIO(text), self.output, self.notes)


def read_all(style) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(style.read())
        except EOFError:
            return messages


def test_plain_reads_a_message_from_each_line_the_last_one_included():
    assert read_all(Piped(PlainStyle, "one\n\n你好\r\nlast").style) == ["one", "", "你好", "last"]


def test_plain_writes_nothing_but_the_answers():
    piped = Piped(PlainStyle)
    piped.style.answer(["Hel", "lo"])
    piped.style.replay([ChatMessage("user", "said before")])
    piped.style.note("a note")
    piped.style.problem("a problem")
    assert piped.output.getvalue() == "Hello\n"
    assert piped.notes.getvalue() == "a note\na problem\n"


def test_plain_ends_the_line_of_an_answer_that_breaks_off():
    def broken():
        yield "Hel"
        raise RuntimeError

    piped = Piped(PlainStyle)
    with pytest.raises(RuntimeError):
        piped.style.answer(broken())
    assert piped.output.getvalue() == "Hel\n"


def test_programmatic_reads_up_to_the_marker_and_says_who_speaks():
    end = " __END_OF_A_MESSAGE_47582648__\n"
    piped = Piped(ProgrammaticStyle, f"one\nmore{end}two{end}")
    assert read_all(piped.style) == ["one\nmore", "two"]
    piped.style.answer(["Hel", "lo"])
    assert piped.output.getvalue() == "[!OP:user]: one\nmore\n[!OP:user]: two\n[!OP:assistant]: Hello\n"
    assert piped.notes.getvalue() == ""


def test_programmatic_ends_with_the_input_and_says_when_that_was_within_a_message():
    piped = Piped(ProgrammaticStyle, "half a message")
    assert read_all(piped.style) == []
    assert "ended within a message" in piped.notes.getvalue()


def test_simple_shows_text_as_it_comes(capsys):
    shown = []

    def deltas():
        for delta in ("你", "好"):
            yield delta
            shown.append(capsys.readouterr().out)

    SimpleStyle("parrot").answer(deltas())
    assert shown == ["parrot: 你", "好"]


def deltas_behind(style, *places: str):
    """An answer that is waited for."""
    for place in places:
        style.waiting(place)
    yield "Hello"


def test_simple_says_on_a_terminal_what_it_waits_for_and_takes_it_back(capsys):
    style = SimpleStyle("parrot")
    style._console = Console(force_terminal=True, color_system=None, highlight=False, markup=False)

    style.answer(deltas_behind(style, "place 2 in the queue", "next in the queue"))

    shown = capsys.readouterr().out
    assert "parrot: (place 2 in the queue)" in shown
    assert shown.endswith(f"(next in the queue){styles.CLEAR_LINE}parrot: Hello\n")


def test_simple_takes_it_back_when_nothing_comes(capsys):
    style = SimpleStyle("parrot")
    style._console = Console(force_terminal=True, color_system=None, highlight=False, markup=False)

    with pytest.raises(ValueError, match="gone"):
        style.answer(broken_behind(style))

    assert capsys.readouterr().out.endswith(f"{styles.CLEAR_LINE}parrot: \n")


def broken_behind(style):
    style.waiting("next in the queue")
    raise ValueError("gone")
    yield ""


def test_nothing_but_the_answer_is_written_where_a_line_cannot_be_taken_back(capsys):
    style = SimpleStyle("parrot")
    style.answer(deltas_behind(style, "place 2 in the queue"))
    piped = Piped(PlainStyle)
    piped.style.answer(deltas_behind(piped.style, "place 2 in the queue"))

    assert capsys.readouterr().out == "parrot: Hello\n"
    assert (piped.output.getvalue(), piped.notes.getvalue()) == ("Hello\n", "")


def test_simple_replays_both_sides(capsys):
    SimpleStyle("parrot").replay([ChatMessage("user", "Hi [bold]x[/]"), ChatMessage("assistant", "Hello")])
    assert capsys.readouterr().out == "\nuser: Hi [bold]x[/]\nparrot: Hello\n"


def test_a_chat_model_cannot_steer_the_terminal(capsys):
    SimpleStyle("parrot").answer(["\x1b]52;c;ZXZpbA==\x07safe\r\x9b2J"])
    assert capsys.readouterr().out == "parrot: ]52;c;ZXZpbA==safe2J\n"


def test_line_ends_and_tabs_are_harmless():
    assert harmless("a\n\tb é 你 \U0001f468\u200d\U0001f469") == "a\n\tb é 你 \U0001f468\u200d\U0001f469"


@pytest.fixture
def typed(monkeypatch):
    """Lines that a person types; the end of the list is Ctrl-D."""

    def type_in(*lines: str | None):
        keys = iter(lines)

        def read(prompt: str) -> str:
            line = next(keys, None)
            if line is None:
                raise EOFError
            return line

        monkeypatch.setattr("builtins.input", read)

    return type_in


def test_simple_sends_several_lines_at_a_dot_or_at_ctrl_d(typed):
    style = SimpleStyle("parrot", multiline=True)
    typed("one", "", "你好", ".", "next", None, "!!help", "last", ".")
    assert [style.read() for _ in range(3)] == ["one\n\n你好", "next", "!!help"]
    assert style.read() == "last"
    with pytest.raises(EOFError):
        style.read()


def test_simple_sends_each_line_otherwise(typed):
    typed("one", ".")
    style = SimpleStyle("parrot")
    assert [style.read(), style.read()] == ["one", "."]


ENTER, ESCAPE_ENTER = "\r", "\x1b\r"


@pytest.mark.parametrize(
    ("multiline", "keys"),
    [
        (False, f"one{ESCAPE_ENTER}two{ENTER}"),
        (True, f"one{ENTER}two{ESCAPE_ENTER}"),
    ],
)
def test_rich_reads_several_lines(multiline, keys):
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        style = RichStyle("parrot", ["!!help"], multiline=multiline)
        pipe.send_text(keys)
        assert style.read() == "one\ntwo"


@pytest.fixture
def rich_style(monkeypatch) -> RichStyle:
    """A rich style that writes into memory, on a screen of 60 by 10."""
    style = RichStyle.__new__(RichStyle)  # without the prompt, which wants a terminal
    SimpleStyle.__init__(style, "parrot")
    style._console = Console(file=io.StringIO(), width=60, height=10, force_terminal=False)
    monkeypatch.setattr(styles, "_silent_keys", nullcontext)
    return style


def shown(style: RichStyle) -> str:
    assert isinstance(style._console.file, io.StringIO)
    return style._console.file.getvalue()


def test_rich_renders_markdown_and_keeps_line_ends(rich_style):
    rich_style.answer(["**bo", "ld**\nnext line\n\n```\nx = [1]\n```\n"])
    text = shown(rich_style)
    assert "**" not in text
    assert "```" not in text
    assert "bold" in text
    assert "\nnext line" in text
    assert "x = [1]" in text


def test_rich_shows_where_a_link_leads(rich_style):
    rich_style.answer(["[your bank](https://evil.example)"])
    assert "https://evil.example" in shown(rich_style)


def test_rich_shows_a_long_answer_whole(rich_style):
    rich_style.answer(f"line {number}\n" for number in range(100))
    assert all(f"line {number} " in shown(rich_style) + " " for number in (0, 50, 99))


def test_rich_shows_the_part_that_fits_while_an_answer_is_written(rich_style):
    tail = rich_style._tail("\n".join(f"line {number}" for number in range(100)))
    lines = str(tail).splitlines()
    assert len(lines) <= 8
    assert lines[-1].strip() == "line 99"


def test_rich_says_what_it_waits_for_and_keeps_none_of_it(rich_style):
    seen: list[str] = []

    def deltas():
        rich_style.waiting("place 2 in the queue")
        seen.append(str(rich_style._live.get_renderable()))
        yield "Hello"

    rich_style.answer(deltas())

    assert seen == ["(place 2 in the queue)"]
    assert "place" not in shown(rich_style)
    assert "Hello" in shown(rich_style)
