"""The tables say what the verdicts say: planted verdicts, results computed by hand."""

import math

from evaluation.records import Answer, PairVerdict, Question, SingleVerdict, Winner
from evaluation.report import report
from evaluation.report.material import Material
from tests.evaluation.report.material import make_material

QUESTIONS = tuple(
    Question(number, category, ("Well?",)) for number, category in enumerate(["x", "x", "y"], 1)
)


def scored(*values) -> list[SingleVerdict]:
    """(question, chat model, score) …"""
    return [SingleVerdict(question, name, "judge", 1, score) for question, name, score in values]


def fought(*games, judge="judge") -> list[PairVerdict]:
    """(question, model 1, model 2, game 1, game 2) …, with games as 1, 2, t, e."""
    words: dict[str, Winner] = {"1": "model_1", "2": "model_2", "t": "tie", "e": "error"}
    return [PairVerdict(q, one, two, judge, 1, words[a], words[b]) for q, one, two, a, b in games]


def cells(material: Material, anchor: str, title: str) -> dict[str, dict[str, str]]:
    """Row → column → text."""
    built = report.build(material, str)
    section = next(each for each in built.sections if each.anchor == anchor)
    table = next(each for each in section.tables if each.title == title)
    names = [column.title for column in table.columns]
    return {row[0].text: {n: c.text for n, c in zip(names[1:], row[1:], strict=True)} for row in table.rows}


def test_it_shows_mean_scores_and_leaves_out_what_is_no_score():
    material = Material(
        "t", QUESTIONS, (), singles=scored((1, "a", 4), (2, "a", 6), (3, "a", None), (1, "b", 9))
    )
    found = cells(material, "scores", "Mean score")
    assert list(found) == ["b", "a"]
    assert found["a"] == {"All turns": "5.00", "Turn 1": "5.00", "Scores": "2", "No score": "1"}
    assert cells(material, "scores", "Mean score by category") == {
        "x": {"a": "5.00", "b": "9.00"},
        "y": {"a": "–", "b": "–"},
    }


def test_it_counts_a_win_only_when_both_orders_agree():
    games = fought((1, "a", "b", "1", "1"), (2, "a", "b", "1", "2"), (3, "a", "b", "1", "e"))
    found = cells(Material("t", QUESTIONS, (), pairs=games), "wins", "Against all opponents")
    assert found["a"] == {
        "Adjusted win rate": "75.0%",
        "Win rate": "50.0%",
        "At equal length": "–",
        "Wins": "1",
        "Losses": "0",
        "Ties": "1",
        "No verdict": "1",
    }


def test_it_shows_win_rates_turn_by_turn_where_there_are_several():
    games = [
        PairVerdict(question, "a", "b", "judge", turn, *("model_1",) * 2 if turn == 1 else ("model_2",) * 2)
        for question in (1, 2)
        for turn in (1, 2)
    ]
    found = cells(Material("t", QUESTIONS, (), pairs=games), "wins", "Against all opponents")
    assert (found["a"]["Adjusted win rate"], found["a"]["Turn 1"], found["a"]["Turn 2"]) == (
        "50.0%",
        "100.0%",
        "0.0%",
    )
    assert (found["b"]["Turn 1"], found["b"]["Turn 2"]) == ("0.0%", "100.0%")


def test_it_tells_what_order_does_to_a_judge():
    games = fought((1, "a", "b", "1", "2"), (2, "a", "b", "1", "2"), (3, "a", "b", "2", "2"))
    found = cells(Material("t", QUESTIONS, (), pairs=games), "judges", "Calibration cards")
    assert found["Prefers the answer shown first"] == {"judge": "66.7%"}
    assert found["Same verdict in both orders"] == {"judge": "33.3%"}


def test_it_tells_how_far_judges_and_people_agree():
    games = fought((1, "a", "b", "1", "1"), (2, "a", "b", "2", "2"), (3, "a", "b", "t", "t"))
    votes = fought(
        (1, "b", "a", "2", "2"), (2, "a", "b", "1", "1"), (3, "a", "b", "t", "t"), judge="person 1"
    )
    found = cells(Material("t", QUESTIONS, (), pairs=games, people=votes), "judges", "Agreement")
    assert found["judge – people"]["With ties (S1)"] == "66.7%"
    assert found["judge – people"]["Without ties (S2)"] == "50.0%"


def test_it_reads_scores_as_votes_and_asks_a_panel_of_three():
    verdicts = [
        SingleVerdict(question, name, judge, 1, score)
        for question in (1, 2, 3)
        for judge, scores in {"one": (8, 5), "two": (9, 2), "odd": (1, 7)}.items()
        for name, score in zip("ab", scores, strict=True)
    ]
    found = cells(Material("t", QUESTIONS, (), singles=verdicts), "judges", "Agreement")
    assert found["one – two"]["With ties (S1)"] == "100.0%"
    assert found["odd – two"]["With ties (S1)"] == "0.0%"
    assert found["one – majority of the judges"]["With ties (S1)"] == "100.0%"


def test_it_compares_with_the_baseline_first():
    values = [(q, name, 5 + (name == "new")) for q in (1, 2, 3) for name in ("old", "new", "other")]
    found = cells(
        Material("t", QUESTIONS, (), singles=scored(*values), baseline="old"), "differences", "By scores"
    )
    assert found["new − old"] == {"Difference": "1.00", "Effect (d)": "–", "p": "0.2500", "Questions": "3"}
    assert list(found) == ["new − old", "other − old", "other − new"]


def test_it_compares_many_with_the_baseline_alone():
    values = [(q, f"m{number}", 5) for q in (1, 2) for number in range(8)]
    found = cells(
        Material("t", QUESTIONS, (), singles=scored(*values), baseline="m3"), "differences", "By scores"
    )
    assert len(found) == 7
    assert all(name.endswith(" − m3") for name in found)


def test_it_rates_by_the_arenas_points():
    beats = [("a", "b"), ("b", "c"), ("a", "c"), ("b", "a"), ("c", "b")]
    games = [
        game for one, other in beats for game in fought(*((q, one, other, "1", "1") for q in range(1, 11)))
    ]
    questions = [Question(number, "x", ("?",)) for number in range(1, 11)]
    found = cells(Material("t", questions, (), pairs=games), "wins", "Ratings")
    assert list(found) == ["a", "b", "c"]
    # b wins as often as it loses against each, so it is in the middle.
    assert found["b"] == {"Rating": "1000", "Verdicts": "40"}


def test_it_says_when_a_rating_rests_on_a_prior():
    games = fought(*((1, one, other, "1", "1") for one, other in [("a", "b"), ("b", "c"), ("a", "c")]))
    built = report.build(Material("t", QUESTIONS, (), pairs=games), str)
    notes = [table.note for section in built.sections for table in section.tables if table.title == "Ratings"]
    assert "only a weak prior holds: a, b, c" in notes[0]


def test_it_corrects_for_length():
    """Where every longer answer wins, being as good at equal length is all that is left."""
    questions = [Question(number, "x", ("?",)) for number in range(1, 41)]
    answers = [
        Answer(q.id, name, ("x" * (400 if (name == "a") == (q.id % 4 != 0) else 100),))
        for q in questions
        for name in "ab"
    ]
    games = fought(*((q.id, "a", "b", *("11" if q.id % 4 else "22")) for q in questions))
    found = cells(Material("t", questions, answers, pairs=games), "wins", "Against all opponents")
    assert found["a"]["Adjusted win rate"] == "75.0%"
    # Less than all the way to a half: a ridge keeps the slope of a clean sweep finite.
    assert 50 <= float(found["a"]["At equal length"].rstrip("%")) < 65
    card = cells(Material("t", questions, answers, pairs=games), "judges", "Calibration cards")
    assert card["The longer answer wins"] == {"judge": "100.0%"}


def test_it_warns_of_missing_verdicts_and_answers():
    material = Material("t", QUESTIONS, [Answer(1, "a", ("x",))], singles=scored((1, "a", None)))
    warnings = report.build(material, str).warnings
    assert warnings[0].startswith("1 of 1 judgments gave no verdict")
    assert warnings[1].startswith("2 answers are missing")


def test_it_has_no_sections_without_verdicts():
    assert report.build(Material("t", QUESTIONS, ()), str).sections == []


def test_its_intervals_hold_their_values():
    for section in report.build(make_material(), str).sections:
        for table in section.tables:
            for row in table.rows:
                for cell in row:
                    if cell.value is not None and cell.low is not None and cell.high is not None:
                        assert cell.low <= cell.value <= cell.high
                        assert not math.isnan(cell.value)
