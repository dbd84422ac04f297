from itertools import pairwise

import pytest

from evaluation.report import radar

CATEGORIES = ["maths", "code", "prose", "facts"]


def draw(values, categories=CATEGORIES, low=0.0, high=10.0):
    return radar.draw("Scores", values, categories, low=low, high=high)


def corners(points: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, _comma, y in (corner.partition(",") for corner in points.split())]


def test_it_puts_the_highest_value_on_the_rim_and_the_lowest_in_the_middle():
    drawn = draw({"a": {"maths": 10, "code": 0, "prose": 5, "facts": 10}})
    assert drawn is not None
    assert corners(drawn.outlines[0].points) == [(0, -120), (0, 0), (0, 60), (-120, 0)]


def test_it_begins_at_the_top_and_goes_round_clockwise():
    drawn = draw({"a": {}})
    assert drawn is not None
    assert [(spoke.x, spoke.y) for spoke in drawn.spokes] == [(0, -120), (120, 0), (0, 120), (-120, 0)]
    assert [spoke.anchor for spoke in drawn.spokes] == ["middle", "start", "middle", "end"]


@pytest.mark.parametrize("value", [float("nan"), -3.0])
def test_it_draws_what_is_no_value_in_the_middle_and_not_as_a_gap(value):
    drawn = draw({"a": {"maths": value, "code": 99, "prose": 10}})
    assert drawn is not None
    assert corners(drawn.outlines[0].points) == [(0, 0), (120, 0), (0, 120), (0, 0)]


def test_it_has_no_area_with_two_categories():
    assert draw({"a": {"maths": 1.0}}, CATEGORIES[:2]) is None


def test_it_says_which_outlines_it_left_out():
    drawn = draw({f"m{number}": {} for number in range(radar.MOST_SERIES + 2)})
    assert drawn is not None
    assert [outline.number for outline in drawn.outlines] == [1, 2, 3, 4, 5, 6]
    assert drawn.left_out == ("m6", "m7")


def test_its_rings_grow_outwards():
    drawn = draw({"a": {}})
    assert drawn is not None
    tops = [corners(ring)[0][1] for ring in drawn.rings]
    assert all(inner > outer for inner, outer in pairwise(tops))
