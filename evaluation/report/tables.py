"""The words of a report: cells, tables, sections. They know how to be shown, not how a number came to be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evaluation.report.radar import Radar

WHISKER_WIDTH: Final = 120
"""Units of the little drawing of an interval; the page scales it."""

NOTHING: Final = "–"


@dataclass(frozen=True)
class Cell:
    """One value of a table; with `low` and `high` it is drawn as well as written."""

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def has_interval(self) -> bool:
        return self.value is not None and self.low is not None and self.high is not None

    @property
    def bounds(self) -> str:
        """For people: `4.20 to 5.10`, with as many digits as the value shows."""
        if self.low is None or self.high is None:
            return ""
        suffix = "%" if self.text.endswith("%") else ""
        digits = len(self.text.rstrip("%").rpartition(".")[2]) if "." in self.text else 0
        scale = 100 if suffix else 1
        return f"{self.low * scale:.{digits}f}{suffix} to {self.high * scale:.{digits}f}{suffix}"


def text(value: object) -> Cell:
    return Cell(str(value))


def count(value: int) -> Cell:
    return Cell(f"{value:,}", float(value))


def number(
    value: float | None, low: float | None = None, high: float | None = None, *, digits: int = 2
) -> Cell:
    """A missing or undefined number is a dash and never a zero."""
    if value is None or not math.isfinite(value):
        return Cell(NOTHING)
    # Rounded first and 0.0 added: "-0.00" would be a sign without a number.
    return Cell(f"{round(value, digits) + 0.0:.{digits}f}", value, _finite(low), _finite(high))


def share(value: float | None, low: float | None = None, high: float | None = None) -> Cell:
    """A number between 0 and 1, shown in per cent."""
    if value is None or not math.isfinite(value):
        return Cell(NOTHING)
    return Cell(f"{100 * value:.1f}%", value, _finite(low), _finite(high))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Whisker:
    """An interval on its column's scale, in drawing units."""

    low: float
    value: float
    high: float
    zero: float | None = None


@dataclass(frozen=True)
class Shown:
    """A cell with its drawing, when there is one."""

    cell: Cell
    whisker: Whisker | None = None


@dataclass(frozen=True)
class Column:
    title: str
    numeric: bool = True
    span: tuple[float, float] | None = None
    """The scale on which intervals are drawn; without it none are."""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names its row."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row has {len(row)} cells for {len(self.columns)} columns")

    @property
    def shown(self) -> list[list[Shown]]:
        return [
            [Shown(cell, whisker(cell, column.span)) for cell, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]


def whisker(cell: Cell, span: tuple[float, float] | None) -> Whisker | None:
    if span is None or cell.value is None or cell.low is None or cell.high is None or span[0] >= span[1]:
        return None
    low, high = span

    def place(value: float) -> float:
        return round(WHISKER_WIDTH * min(1.0, max(0.0, (value - low) / (high - low))), 1)

    zero = place(0.0) if low < 0 < high else None
    return Whisker(place(cell.low), place(cell.value), place(cell.high), zero)


@dataclass(frozen=True)
class Section:
    """A heading with its tables; `anchor` is its address within the page."""

    anchor: str
    title: str
    intro: str
    tables: Sequence[Table]
    radar: Radar | None = None
    notes: Sequence[str] = ()
