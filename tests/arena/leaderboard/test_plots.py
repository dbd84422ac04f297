"""Plots are well-formed, say what they are, and let no name become markup."""

from xml.etree import ElementTree

import pytest

from arena.boards import plots

SPACE = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own text


def test_an_interval_chart_orders_by_value_along_the_axis():
    svg = parse(
        plots.intervals(
            [plots.Interval("a", 1100, 1050, 1150), plots.Interval("b", 900, 850, 950)], title="T"
        )
    )
    first, second = (float(dot.get("cx", "")) for dot in svg.iter(f"{SPACE}circle"))
    assert first > second
    assert svg.get("aria-label") == "T"


def test_one_row_without_width_is_drawn():
    assert parse(plots.intervals([plots.Interval("a", 1000, 1000, 1000)], title="T")) is not None


@pytest.mark.parametrize("rows", [[], [plots.Bar("a", 0.0, "0")]])
def test_bars_without_anything_to_show_are_drawn(rows):
    assert parse(plots.bars(rows, title="T")) is not None


def test_a_name_is_never_markup():
    name = '<script>"x"</script>'
    drawn = (
        plots.intervals([plots.Interval(name, 1, 0, 2)], title=name),
        plots.bars([plots.Bar(name, 1, name)], title=name),
        plots.heat_map([name], [[plots.Cell(0.5, "1", name)]], title=name),
        plots.lines(["Jan"], [plots.Series(name, [1.0])], title=name),
    )
    for svg in drawn:
        parse(svg)
        assert "<script" not in svg


def test_a_line_has_a_gap_where_nothing_is_known():
    svg = parse(plots.lines(["1", "2", "3", "4"], [plots.Series("a", [1.0, 2.0, None, 3.0])], title="T"))
    assert len(list(svg.iter(f"{SPACE}polyline"))) == 2


def test_a_heat_map_leaves_out_pairs_that_never_met():
    cell = plots.Cell(1.0, "1", "a beat b")
    svg = parse(plots.heat_map(["a", "b"], [[None, cell], [None, None]], title="T"))
    assert len(list(svg.iter(f"{SPACE}rect"))) == 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 2.0), (850.0, 1243.0), (0.0, 100000.0)])
def test_ticks_are_few_and_inside(low, high):
    ticks = plots._ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)


def test_counts_begin_at_zero_and_go_in_whole_steps():
    drawn = plots.lines(["a", "b"], [plots.Series("votes", [0.0, 0.0])], title="Votes", counts=True)
    assert ">0</text>" in drawn
    assert ">1</text>" in drawn
    assert "0.5" not in drawn.replace('0.5"', "")
    assert ">-" not in drawn
