"""All output goes to a bounded file; the console gets what an operator must see."""

import io
import os
import time

import pytest

from chatsite.supervisor.console import Console
from chatsite.supervisor.logs import BoundedLog, EchoFilter, Output

WARNING = "2026-11-24 06:44:00,123 WARNING workers.host: slow"
INFO = "2026-11-24 06:44:00,123 INFO workers.host: loaded"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def echoed(lines: list[str], **options: object) -> list[str]:
    wants = EchoFilter(**options).wants  # type: ignore[arg-type]
    return [line for line in lines if wants(line)]


def test_it_keeps_what_was_logged_before_the_start(tmp_path):
    path = tmp_path / "web.log"
    for text in (b"first\n", b"second\n", b"third\n"):
        log = BoundedLog(path, kept=2)
        log.write(text)
        log.close()

    assert path.read_bytes() == b"third\n"
    assert (tmp_path / "web.log.1").read_bytes() == b"second\n"
    assert (tmp_path / "web.log.2").read_bytes() == b"first\n"


def test_it_forgets_the_oldest_log(tmp_path):
    for number in range(5):
        log = BoundedLog(tmp_path / "web.log", kept=2)
        log.write(b"%d\n" % number)
        log.close()

    assert sorted(file.name for file in tmp_path.iterdir()) == ["web.log", "web.log.1", "web.log.2"]


def test_it_never_grows_far_beyond_its_limit(tmp_path):
    log = BoundedLog(tmp_path / "web.log", limit=100, kept=2)
    for _ in range(50):
        log.write(b"x" * 30 + b"\n")
        log.read_new()
    log.close()

    assert all(file.stat().st_size <= 131 for file in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 3


def test_it_loses_nothing_of_what_a_writer_says_around_a_cut(tmp_path):
    log = BoundedLog(tmp_path / "web.log", limit=100)
    read = b""
    for number in range(100):
        os.write(log.fileno(), b"line %d\n" % number)
        read += log.read_new()
    log.close()

    assert read.decode().splitlines() == [f"line {number}" for number in range(100)]


def test_it_skips_what_it_cannot_keep_up_with(tmp_path):
    log = BoundedLog(tmp_path / "web.log")
    log.write(b"x" * 6 * 1024 * 1024 + b"the end\n")

    assert log.read_new().endswith(b"the end\n")
    assert log.read_new() == b""
    log.close()


def test_it_leaves_an_empty_log_alone(tmp_path):
    BoundedLog(tmp_path / "web.log").close()
    BoundedLog(tmp_path / "web.log").close()

    assert [file.name for file in tmp_path.iterdir()] == ["web.log"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (WARNING, True),
        ("2026-11-24 06:44:00,123 ERROR django.request: Internal Server Error: /chat/", True),
        ("[2026-11-24 06:44:00,123: CRITICAL/MainProcess] Unrecoverable error", True),
        (INFO, False),
        ("[2026-11-24 06:44:00,123: INFO/MainProcess] Connected", False),
        ("WARNING: nobody said when", False),
        ("2026-11-24 06:44:00,123 INFO arena: a text with WARNING in it", False),
    ],
)
def test_it_shows_warnings_and_errors_only(line, shown):
    assert echoed([line]) == ([line] if shown else [])


def test_it_shows_of_a_traceback_where_it_came_from_and_what_it_was():
    error = "2026-11-24 06:44:00,123 ERROR django.request: Internal Server Error: /chat/"
    lines = [
        error,
        "Traceback (most recent call last):",
        '  File "views.py", line 3',
        "    raise ValueError",
        "ValueError: no",
    ]

    assert echoed([*lines, INFO, "a line behind it"]) == [error, "ValueError: no"]


def test_it_shows_the_end_of_a_traceback_without_a_record():
    assert echoed(["Traceback (most recent call last):", '  File "x.py", line 1', "ImportError: no"]) == [
        "ImportError: no"
    ]


def test_it_shows_the_same_message_once_in_a_while():
    clock = Clock()
    wants = EchoFilter(window=30, clock=clock).wants
    again = WARNING.replace("06:44:00", "06:44:09")

    assert [wants(WARNING), wants(again)] == [True, False]
    clock.now = 31
    assert wants(again)


def test_it_does_not_let_one_child_flood_the_console():
    assert len(echoed([f"{WARNING} {number}" for number in range(1000)], most=40)) == 40


@pytest.fixture
def echoes() -> list[str]:
    return []


@pytest.fixture
def output(tmp_path, echoes):
    made = Output(BoundedLog(tmp_path / "web.log"), echoes.append)
    yield made
    made.close()


def feed(output: Output, *pieces: bytes) -> None:
    for piece in pieces:
        os.write(output.fileno(), piece)
        output.read()


def test_it_joins_lines_that_come_in_pieces(tmp_path, output, echoes):
    error = b"2026-11-24 06:44:00,123 ERROR x: broken\nlast words"

    feed(output, WARNING[:10].encode(), WARNING[10:].encode() + b"\n" + error)
    output.finish()

    assert echoes == [WARNING, "2026-11-24 06:44:00,123 ERROR x: broken", "last words"]
    assert (tmp_path / "web.log").read_text().endswith("broken\nlast words\n")


def test_it_remembers_the_last_lines_that_nobody_has_seen_yet(output):
    feed(output, "\n".join([INFO, *"abcdefgh", ""]).encode())

    assert output.last_words() == list("defgh")


def test_it_takes_its_own_notes_for_nobodys_last_words(output):
    feed(output, b"of the life before\n")
    output.note("ended with exit code 3")
    output.read()

    assert output.last_words() == []


def test_its_last_words_are_of_the_last_seconds(output, monkeypatch):
    feed(output, b"long ago\n")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 10)
    feed(output, b"just now\n")

    assert output.last_words() == ["just now"]


def test_it_takes_output_that_is_no_text(output):
    feed(output, b"\xff\xfe\n" + b"y" * 100_000)
    output.finish()

    assert output.last_words()[-1].startswith("y")
    assert len(output.last_words()[-1]) <= 400


def test_it_writes_no_colours_to_a_file(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()

    Console(stream).headline("Ready: http://127.0.0.1:8000")

    assert stream.getvalue() == "Ready: http://127.0.0.1:8000\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_colours_a_terminal_unless_no_color_is_set(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    Console(coloured := Terminal()).child("web", "hello")
    monkeypatch.setenv("NO_COLOR", "1")
    Console(plain := Terminal()).child("web", "hello")

    assert coloured.getvalue() == "\033[36mweb |\033[0m hello\n"
    assert plain.getvalue() == "web | hello\n"


def test_it_lets_no_child_steer_the_terminal():
    console = Console(stream := io.StringIO(), colours=False)

    console.child("web", "\033[2Jclear\x9b31m\tand tab")

    assert stream.getvalue() == "web | ?[2Jclear?31m\tand tab\n"


def test_it_survives_a_terminal_that_is_gone():
    console = Console(stream := io.StringIO())
    stream.close()

    console.step("still stopping the children")
