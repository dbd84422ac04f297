"""The same verdicts make the same intervals, in whatever order they come: a report and `evaluate show` then agree."""

import io
import json
import random

import pytest
from django.core.management import call_command

from evaluation.metrics import agreement, biases, calibration, comparison, lengths, ratings, scores, wins
from evaluation.metrics.agreement import Ballot
from evaluation.report import files, folder
from tests.evaluation.report.material import make_material

MATERIAL = make_material()
EARLIER = make_material(seed=6).singles


def ballots(pairs):
    return [ballot for pair in pairs if (ballot := Ballot.of(pair))]


@pytest.mark.parametrize(
    "measure",
    [
        lambda singles, pairs: scores.mean_scores(singles),
        lambda singles, pairs: wins.win_rates(pairs),
        lambda singles, pairs: ratings.ratings(pairs),
        lambda singles, pairs: biases.position(pairs),
        lambda singles, pairs: lengths.effect(pairs, MATERIAL.lengths),
        lambda singles, pairs: lengths.controlled(pairs, MATERIAL.lengths, candidate="llama"),
        lambda singles, pairs: comparison.of_scores(singles, candidate="llama", parent="smol"),
        lambda singles, pairs: comparison.of_pairs(pairs, candidate="llama", parent="smol"),
        lambda singles, pairs: agreement.within(ballots(pairs), ties=True),
        lambda singles, pairs: calibration.drift(EARLIER, singles),
    ],
    ids=[
        "scores",
        "wins",
        "ratings",
        "places",
        "lengths",
        "at equal length",
        "scores of two",
        "pairs of two",
        "agreement",
        "drift",
    ],
)
def test_the_order_of_verdicts_does_not_matter(measure):
    singles, pairs = list(MATERIAL.singles), list(MATERIAL.pairs)
    before = measure(singles, pairs)
    dice = random.Random(3)
    dice.shuffle(singles)
    dice.shuffle(pairs)
    assert repr(rounded(measure(singles, pairs))) == repr(rounded(before))


def rounded(value):
    """Sums in another order may differ in their last digit."""
    return json.loads(json.dumps(value, default=vars_of), parse_float=lambda text: round(float(text), 9))


def vars_of(value):
    return {name: getattr(value, name) for name in value.__slots__}


@pytest.mark.parametrize(("mode", "section"), [("single", "scores"), ("pairwise-all", "wins")])
def test_a_report_and_show_say_the_same(tmp_path, mode, section):
    folder.write(MATERIAL, tmp_path / "r", raw=files.raw(MATERIAL))
    numbers = json.loads((tmp_path / "r/numbers.json").read_text())
    out = io.StringIO()
    call_command(
        "evaluate", "show", "--mode", mode, "--judgments", str(tmp_path / "r/data"), "--json", stdout=out
    )
    shown = json.loads(out.getvalue())
    [name, *_], column = (
        numbers["sections"][section][0]["rows"][0],
        "mean" if mode == "single" else "adjusted",
    )
    for row in numbers["sections"][section][0]["rows"]:
        found = next(each for each in shown["tables"][0]["rows"] if each["chat_model"] == row[0]["text"])
        assert {key: row[1][key] for key in ("value", "low", "high")} == found[column]
    assert name["text"] == "llama"
