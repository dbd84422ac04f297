"""Computes the numbers of a written report again, from the raw records beside it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluation.report import files
from evaluation.report.folder import MARK
from evaluation.report.report import build, numbers


def differences(folder: Path) -> list[str]:
    """Where the report says something else than its data; empty when every number is the same to the last digit.

    Raises FileNotFoundError or ValueError when the folder is no report.
    """
    said = json.loads((folder / MARK).read_text("utf-8"))
    material = files.read([folder / "data"])
    # Through JSON, as the written ones went, so that both are made of the same kinds of values.
    computed = json.loads(json.dumps(numbers(build(material, str))))
    return list(_different(said, computed, ""))


def _different(said: Any, computed: Any, place: str) -> Iterator[str]:
    if isinstance(said, dict) and isinstance(computed, dict):
        for key in [*said, *(key for key in computed if key not in said)]:
            yield from _different(said.get(key), computed.get(key), f"{place}/{key}")
    elif isinstance(said, list) and isinstance(computed, list) and len(said) == len(computed):
        for number, (one, other) in enumerate(zip(said, computed, strict=True), start=1):
            yield from _different(one, other, f"{place}/{number}")
    elif said != computed:
        yield f"{place.removeprefix('/')}: the report says {said!r}, its data say {computed!r}"
