"""What the operator sees: steps, the address, and the warnings of the children, each line under its child's name."""

import os
import re
import sys
import time
from typing import TextIO

RESET, BOLD, DIM, RED, YELLOW, GREEN = "\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[33m", "\033[32m"
NAME_COLOURS = ("\033[36m", "\033[35m", "\033[34m", "\033[32m", "\033[96m", "\033[95m")
# C0 and C1 control characters but the tab: a child's line must not steer the operator's terminal.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class Console:
    """Writes whole lines, so that two writers never share one. Without a terminal, or with NO_COLOR, no colours."""

    def __init__(self, stream: TextIO | None = None, *, colours: bool | None = None):
        self._stream = stream or sys.stdout
        self._colours = self._wants_colours() if colours is None else colours
        self._names: dict[str, str] = {}
        self._started = time.monotonic()

    def step(self, sentence: str) -> None:
        """Something begins or is done, with the seconds since the start."""
        self._write(f"{self._paint(DIM, f'{time.monotonic() - self._started:5.1f} s')}  {sentence}")

    def notice(self, sentence: str) -> None:
        self._write(f"{self._paint(YELLOW, '!')} {sentence}")

    def error(self, sentence: str) -> None:
        self._write(f"{self._paint(RED, 'x')} {sentence}")

    def headline(self, sentence: str) -> None:
        """What the operator waited for. Plain text without a terminal: scripts look for it."""
        self._write(self._paint(BOLD + GREEN, sentence))

    def child(self, name: str, line: str) -> None:
        """One line of a child's output."""
        colour = self._names.setdefault(name, NAME_COLOURS[len(self._names) % len(NAME_COLOURS)])
        self._write(f"{self._paint(colour, f'{name} |')} {CONTROL_CHARACTERS.sub('?', line)}")

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{RESET}" if self._colours else text

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal is gone (SIGHUP is on its way) or a pipe's reader is: the children still must be stopped.
            pass

    def _wants_colours(self) -> bool:
        return self._stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
