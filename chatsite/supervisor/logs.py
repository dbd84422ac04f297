"""A child's output: all of it into a bounded file, the warnings to the console, the last lines kept for an obituary.

A child writes into its file itself and the supervisor reads it from there. With a pipe in between, a child would block
when the supervisor is busy, and break when it is gone: Celery, for one, does not shut down when it cannot say so.
"""

import contextlib
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

LONGEST_LINE = 8192  # bytes; a longer one is cut into pieces
READ_AT_ONCE = 1024 * 1024  # bytes; a reader that is further behind skips what it cannot keep up with
REMEMBERED_LINES = 5
LAST_WORDS = 5.0  # seconds before the death
OWN_NOTE = "--- "

# The two shapes of a new record: Django's "2026-11-24 06:44:00,123 WARNING name: …" and Celery's
# "[2026-11-24 06:44:00,123: WARNING/MainProcess] …".
RECORD = re.compile(r"^\[?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S*:? (?P<level>[A-Z]+)\b")
LOUD_LEVELS = ("WARNING", "ERROR", "CRITICAL")
TRACEBACK = "Traceback (most recent call last):"
# What a traceback has between its record and the line that says what went wrong.
FRAMES = (" ", "\t", TRACEBACK, "During handling of the above", "The above exception was the direct cause")


class BoundedLog:
    """An append-only file of about `limit` bytes at most; what was before is kept as `.1`, `.2`, … up to `kept`."""

    def __init__(self, path: Path, *, limit: int = 10 * 1024 * 1024, kept: int = 3):
        self.path = path
        self._limit = limit
        self._kept = kept
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size:
            path.replace(self._make_room())
        # For appending, so that every writer writes at the end, wherever that is after the file was cut.
        self._writer = path.open("ab", buffering=0)
        self._reader = path.open("rb", buffering=0)

    def fileno(self) -> int:
        """The descriptor that a child gets as its output."""
        return self._writer.fileno()

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop the site
            self._writer.write(data)

    def read_new(self) -> bytes:
        """What was written since the last call, `READ_AT_ONCE` bytes at most; cuts the file when it is too long."""
        size = os.fstat(self._reader.fileno()).st_size
        if size - self._reader.tell() > 4 * READ_AT_ONCE:
            self._reader.seek(size - READ_AT_ONCE)
        data = self._reader.read(READ_AT_ONCE) or b""
        if size > self._limit and len(data) < READ_AT_ONCE:
            self._cut()
        return data

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    def _cut(self) -> None:
        # Copied and cut, not renamed: the child goes on with the descriptor it has.
        with contextlib.suppress(OSError):  # on a full disk it is lost; cutting makes room again
            shutil.copyfile(self.path, self._make_room())
        self._writer.truncate(0)
        self._reader.seek(0)

    def _make_room(self) -> Path:
        """Move the older logs up by one; the path that is free then."""
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        return self._numbered(1)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class EchoFilter:
    """Chooses the lines worth an operator's attention: warnings and errors, with the last line of a traceback.

    A child in trouble can be very talkative: a message that was shown is not shown again for a while, and at most
    `most` lines in each `window` seconds are. The log file has everything.
    """

    def __init__(self, *, most: int = 40, window: float = 30.0, clock: Callable[[], float] = time.monotonic):
        self._most = most
        self._window = window
        self._clock = clock
        self._loud = False
        self._window_began = clock()
        self._shown: set[str] = set()

    def wants(self, line: str) -> bool:
        if record := RECORD.match(line):
            self._loud = record["level"] in LOUD_LEVELS and self._is_news(line[record.end() :])
            return self._loud
        if line.startswith(TRACEBACK):
            self._loud = True
        if line.startswith(FRAMES):
            return False
        return self._loud and self._is_news(line)

    def _is_news(self, message: str) -> bool:
        now = self._clock()
        if now - self._window_began >= self._window:
            self._window_began = now
            self._shown.clear()
        if message in self._shown or len(self._shown) >= self._most:
            return False
        self._shown.add(message)
        return True


class Output:
    """Reads a child's log as it grows."""

    def __init__(self, log: BoundedLog, echo: Callable[[str], None] | None):
        self._log = log
        self._echo = echo
        self._filter = EchoFilter()
        self._rest = b""
        self._last_lines: deque[tuple[float, str]] = deque(maxlen=REMEMBERED_LINES)

    def fileno(self) -> int:
        return self._log.fileno()

    def last_words(self) -> list[str]:
        """The lines of the last seconds, without those that were echoed and without the frames of tracebacks."""
        return [line for at, line in self._last_lines if time.monotonic() - at < LAST_WORDS]

    def read(self) -> bool:
        """Take what is new. False when nothing was."""
        data = self._log.read_new()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        while len(self._rest) > LONGEST_LINE:
            self._take(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]
        return bool(data)

    def finish(self) -> None:
        """The child is gone: take all that it left; without a line feed, too."""
        while self.read():
            pass
        if self._rest:
            self._take(self._rest)
            self._rest = b""
            self._log.write(b"\n")

    def note(self, sentence: str) -> None:
        """A line of the supervisor's own between two lives of the child, so that the log alone tells what happened."""
        self._last_lines.clear()
        self._log.write(f"{OWN_NOTE}{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n".encode())

    def close(self) -> None:
        self._log.close()

    def _take(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        if not line or line.startswith(OWN_NOTE):
            return
        if self._echo and self._filter.wants(line):
            self._echo(line[:2000])
        elif not line.startswith(FRAMES):
            self._last_lines.append((time.monotonic(), line[:400]))
