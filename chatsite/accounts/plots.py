"""The plot of the usage pages, as SVG made of plain numbers. Colours come from the style sheet by class.

360 units wide, a small phone's width, so that its letters keep their size there. The table beside it says the same.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, FOOT, HEAD = 360, 120, 18, 14


class Column(NamedTuple):
    label: str
    value: int
    title: str
    """What a pointer over the column is told."""


def columns(rows: Sequence[Column], *, title: str) -> str:
    """One column each, from left to right; the first and the last label beneath, the highest value above."""
    most = max((row.value for row in rows), default=0) or 1
    step = WIDTH / max(1, len(rows))
    floor = HEIGHT - FOOT
    parts = []
    for number, row in enumerate(rows):
        height = row.value / most * (floor - HEAD)
        if row.value:
            height = max(height, 1.5)  # a little is not nothing
        width = max(1, step - 2)
        parts.append(
            f'<rect class="plot__bar" x="{number * step + 1:.1f}" y="{floor - height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" rx="1"><title>{escape(row.title)}</title></rect>'
        )
    parts.append(f'<line class="plot__grid" x1="0" y1="{floor}" x2="{WIDTH}" y2="{floor}"/>')
    parts.append(f'<text class="plot__tick" x="0" y="10">{most:,}</text>')
    if rows:
        parts.append(f'<text class="plot__tick" x="0" y="{HEIGHT - 4}">{escape(rows[0].label)}</text>')
        parts.append(
            f'<text class="plot__tick" x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{escape(rows[-1].label)}</text>'
        )
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
