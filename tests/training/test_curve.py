"""Curves as SVG: where points come to lie, and what cannot be drawn."""

import re
from itertools import pairwise

import pytest

from training.curve import Series, draw, ticks


def points_of(drawn: str) -> list[list[tuple[float, float]]]:
    lines = re.findall(r'points="([^"]*)"', drawn)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())] for line in lines]


def test_a_loss_that_falls_runs_down_from_left_to_right():
    [line] = points_of(draw([Series("loss", [(1, 4.0), (2, 3.0), (3, 2.0)])], title="a < b"))
    assert [x for x, _ in line] == [44.0, 198.0, 352.0]
    assert [y for _, y in line] == sorted(y for _, y in line)
    assert line[1][1] == pytest.approx((line[0][1] + line[2][1]) / 2, abs=0.1)


def test_every_series_has_a_line_and_its_last_value_in_words():
    drawn = draw([Series("loss", [(1, 4.0), (2, 3.5)]), Series("held & out", [(0, 4.25)])], title="x")
    assert len(points_of(drawn)) == 2
    assert "loss: 3.5" in drawn
    assert "held &amp; out: 4.25" in drawn


def test_its_name_is_escaped():
    assert 'aria-label="a &lt; b"' in draw([Series("x", [(1, 1.0)])], title="a < b")


@pytest.mark.parametrize("points", [[], [(1, float("nan"))], [(1, float("inf"))]])
def test_nothing_to_draw_draws_nothing(points):
    assert draw([Series("x", points)], title="x") == ""


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0, 2e-4])
def test_one_point_is_drawn_too(value):
    drawn = draw([Series("x", [(5, value)])], title="one")
    assert "<circle" in drawn
    assert "nan" not in drawn


def test_small_values_have_short_names_beside_the_grid():
    drawn = draw([Series("rate", [(1, 5e-4), (2, 3e-4)])], title="x")
    named = re.findall(r'plot__tick"[^>]*text-anchor="end">([^<]*)<', drawn)
    assert "4e-4" in named
    assert all(len(name) <= 6 for name in named)


@pytest.mark.parametrize(("low", "high"), [(0, 4), (1e-6, 2e-4), (1.99, 2.01), (-3, 1), (0, 123456)])
def test_ticks_are_a_few_round_numbers_between(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 8
    assert all(low <= tick <= high + 1e-12 for tick in found)
    steps = {round((b - a) / (found[1] - found[0]), 6) for a, b in pairwise(found)}
    assert steps == {1.0}
