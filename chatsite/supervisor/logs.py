"""A child's output: all of it into a bounded file, the warnings to the console, the last lines kept for an obituary."""

import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

LONGEST_LINE = 8192  # bytes; a longer one is cut into pieces
REMEMBERED_LINES = 5

# The two shapes of a new record: Django's "2026-11-24 06:44:00,123 WARNING name: …" and Celery's
# "[2026-11-24 06:44:00,123: WARNING/MainProcess] …".
RECORD = re.compile(r"^\[?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S*:? (?P<level>[A-Z]+)\b")
LOUD_LEVELS = ("WARNING", "ERROR", "CRITICAL")
TRACEBACK = "Traceback (most recent call last):"
# What a traceback has between its record and the line that says what went wrong.
FRAMES = (" ", "\t", TRACEBACK, "During handling of the above", "The above exception was the direct cause")


class BoundedLog:
    """An append-only file of at most `limit` bytes; what was before is kept once, or a few times, as `.1`, `.2`, …"""

    def __init__(self, path: Path, *, limit: int = 10 * 1024 * 1024, kept: int = 3):
        self.path = path
        self._limit = limit
        self._kept = kept
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._rotate()

    def write(self, data: bytes) -> None:
        if self._size and self._size + len(data) > self._limit:
            self._file.close()
            self._rotate()
        try:
            self._file.write(data)
        except OSError:
            return  # a full disk must not stop the site; the console still hears of warnings
        self._size += len(data)

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        if self.path.exists() and self.path.stat().st_size:
            for number in range(self._kept - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
        self._file = self.path.open("ab", buffering=0)
        self._size = 0

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
    """Takes a child's raw output and hands whole lines on."""

    def __init__(self, log: BoundedLog, echo: Callable[[str], None] | None):
        self.last_lines: deque[str] = deque(maxlen=REMEMBERED_LINES)
        """Without those that were echoed, and without the frames of tracebacks."""
        self._log = log
        self._echo = echo
        self._filter = EchoFilter()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        self._log.write(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        while len(self._rest) > LONGEST_LINE:
            self._take(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]

    def end(self) -> None:
        """The child is gone; what it left without a line feed is its last line."""
        if self._rest:
            self._take(self._rest)
            self._log.write(b"\n")
            self._rest = b""

    def note(self, sentence: str) -> None:
        """A line of the supervisor's own, so that the log alone tells what happened."""
        self._log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n".encode())
        self.last_lines.clear()

    def close(self) -> None:
        self._log.close()

    def _take(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        if not line:
            return
        if self._echo and self._filter.wants(line):
            self._echo(line[:2000])
        elif not line.startswith(FRAMES):
            self.last_lines.append(line[:400])
