"""What a recipe tells about itself: JSON lines on stdout or in a file, one `event` each, with the Unix time.

`start`, `estimate`, `log`, `evaluation`, `sample`, `checkpoint`, `refused`, `done`: whoever started the recipe reads
along.
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any


class Progress:
    """Silent on all ranks but the first."""

    def __init__(self, path: str = "", *, first: bool = True):
        self._path, self._first = Path(path) if path else None, first

    def tell(self, event: str, **values: Any) -> None:
        if not self._first:
            return
        line = json.dumps({"event": event, "time": round(time.time(), 3), **_finite(values)}) + "\n"
        if self._path is None:
            sys.stdout.write(line)
            sys.stdout.flush()
        else:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)


def _finite(value: Any) -> Any:
    """JSON knows no NaN; a loss that is none becomes null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
