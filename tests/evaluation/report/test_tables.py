import math

import pytest

from evaluation.report import tables
from evaluation.report.tables import Column, Table


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_it_shows_a_missing_number_as_a_dash_and_never_as_zero(value):
    assert tables.number(value).text == "–"
    assert tables.share(value).text == "–"


def test_it_writes_an_interval_with_the_digits_of_its_value():
    assert tables.number(7.254, 6.9, 7.6).bounds == "6.90 to 7.60"
    assert tables.share(0.5, 0.4012, 0.6).bounds == "40.1% to 60.0%"
    assert tables.number(1.0).bounds == ""


def test_it_writes_no_negative_zero():
    assert tables.number(-0.001).text == "0.00"


def test_it_drops_bounds_that_are_no_numbers():
    assert not tables.number(3.0, math.nan, 4.0).has_interval


def test_it_draws_an_interval_on_its_columns_scale():
    column = Column("Score", span=(0.0, 10.0))
    table = Table(
        "Scores", [Column("Model", numeric=False), column], [[tables.text("a"), tables.number(5, 2.5, 7.5)]]
    )
    drawn = table.shown[0][1].whisker
    assert drawn is not None
    assert (drawn.low, drawn.value, drawn.high, drawn.zero) == (30, 60, 90, None)


def test_it_marks_zero_when_a_difference_may_have_either_sign():
    drawn = tables.whisker(tables.number(0.5, -1, 2), (-2.0, 2.0))
    assert drawn is not None
    assert drawn.zero == 60


def test_it_keeps_drawings_within_their_scale():
    drawn = tables.whisker(tables.number(5, -20, 30), (0.0, 10.0))
    assert drawn is not None
    assert (drawn.low, drawn.high) == (0, 120)


def test_it_refuses_a_ragged_table():
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        Table("Scores", [Column("Model")], [[tables.text("a"), tables.text("b")]])
