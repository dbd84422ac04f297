"""`manage.py evaluate show` and `agreement`. No test here may touch the database: pytest-django would refuse it."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.evaluation.metrics import generated


def evaluate(*arguments: object) -> str:
    out = io.StringIO()
    call_command("evaluate", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judgments")
    human, gpt4 = generated.votes()
    questions = [
        {"question_id": q, "category": generated.CATEGORIES[q % 4], "turns": ["…", "…"]}
        for q in generated.QUESTIONS
    ]
    answers = [
        {
            "question_id": q,
            "model_id": name,
            "choices": [{"index": 0, "turns": ["x" * (10 + size * 7 + q), "y" * (20 + q)]}],
        }
        for q in generated.QUESTIONS
        for size, name in enumerate(generated.MODELS)
    ]
    for name, rows in {
        "single": generated.singles(),
        "pair": generated.pairs(),
        "question": questions,
        "answers": answers,
    }.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "human.json").write_text(json.dumps(human))
    (folder / "gpt4.json").write_text(json.dumps(gpt4))
    return folder


def shown(*arguments):
    return json.loads(evaluate("show", "--json", "--rounds", 50, *arguments))


def test_scores_are_shown_for_all_each_turn_and_each_category(files):
    found = shown("--judgments", files / "single.jsonl", files / "question.jsonl")
    slices = [(table["turn"], table["category"]) for table in found["tables"]]
    assert slices[:3] == [(None, None), (1, None), (2, None)]
    assert {category for _, category in slices[3:]} == set(generated.CATEGORIES)
    best = found["tables"][0]["rows"][0]
    assert best["chat_model"] == "alpha"
    assert best["mean"]["value"] == pytest.approx(6.957236842105263, abs=1e-12)  # show_result.py's
    assert (best["verdicts"], best["errors"]) == (152, 8)
    everything = sum(row["verdicts"] + row["errors"] for row in found["tables"][0]["rows"])
    by_category = sum(
        row["verdicts"] + row["errors"] for table in found["tables"][3:] for row in table["rows"]
    )
    assert everything == by_category == 640


def test_all_pairs_have_win_rates_ratings_and_the_judges_habits(files):
    found = shown("--mode", "pairwise-all", "--judgments", files / "pair.jsonl", files / "answers.jsonl")
    rates = {row["chat_model"]: row["adjusted"]["value"] for row in found["tables"][0]["rows"]}
    assert rates["alpha"] == pytest.approx(0.735294117647059, abs=1e-12)  # show_result.py's
    assert [row["chat_model"] for row in found["ratings"]] == ["alpha", "beta", "gamma", "delta"]
    assert found["position"]["verdicts"] + found["position"]["errors"] == 960
    assert found["length"]["verdicts"] == found["position"]["verdicts"]
    assert set(found["length_controlled"]) == set(generated.MODELS)
    assert all(rate["low"] <= rate["value"] <= rate["high"] for rate in found["length_controlled"].values())


def test_a_baseline_has_no_row_and_no_ratings(files):
    found = shown("--mode", "pairwise-baseline", "--baseline", "beta", "--judgments", files / "pair.jsonl")
    assert [row["chat_model"] for row in found["tables"][0]["rows"]] == ["alpha", "gamma", "delta"]
    assert "ratings" not in found
    assert "length" not in found


def test_only_some_chat_models_can_be_shown(files):
    found = shown("--mode", "pairwise-all", "--judgments", files / "pair.jsonl", "--models", "alpha", "delta")
    assert {row["chat_model"] for row in found["tables"][0]["rows"]} == {"alpha", "delta"}
    assert found["position"]["verdicts"] + found["position"]["errors"] == 160


def test_the_same_seed_gives_the_same_numbers(files):
    arguments = ["--judgments", files / "single.jsonl", "--seed", 5]
    assert shown(*arguments) == shown(*arguments)
    assert shown(*arguments) != shown("--judgments", files / "single.jsonl", "--seed", 6)


def test_people_read_tables(files):
    said = evaluate("show", "--rounds", 50, "--mode", "pairwise-all", "--judgments", files / "pair.jsonl")
    assert "Judged by gpt-4." in said
    assert "alpha       0.735 [" in said
    assert "Turn 2" in said
    assert "Bradley–Terry" in said
    assert "for whoever came first" in said


def test_a_judgment_that_is_there_twice_counts_once(files, tmp_path):
    text = (files / "single.jsonl").read_text()
    (tmp_path / "again.jsonl").write_text(text + text)
    assert (
        shown("--judgments", tmp_path / "again.jsonl")["tables"]
        == shown("--judgments", files / "single.jsonl")["tables"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--judgments", "{files}/nowhere.jsonl"], "nowhere.jsonl"),
        (["--judgments", "{files}/pair.jsonl"], "no single judgments"),
        (["--judgments", "{files}/single.jsonl", "--models", "omega"], "with these --models"),
        (["--judgments", "{files}/single.jsonl", "--mode", "pairwise-baseline"], "--baseline NAME"),
        (["--judgments", "{files}/single.jsonl", "--baseline", "beta"], "--baseline NAME"),
        (["--judgments", "{files}/single.jsonl", "--rounds", "0"], "--rounds"),
    ],
)
def test_it_says_what_is_wrong(files, arguments, message):
    with pytest.raises(CommandError, match=message):
        evaluate("show", *(argument.format(files=files) for argument in arguments))


def test_a_malformed_line_is_named_with_file_and_number(files, tmp_path):
    lines = (files / "single.jsonl").read_text().splitlines()
    lines[4] = lines[4].replace('"turn": 1', '"turn": 0')
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    with pytest.raises(CommandError, match=r"bad\.jsonl, line 5: turn is 0"):
        evaluate("show", "--judgments", tmp_path / "bad.jsonl")


class TestAgreement:
    def rows(self, *arguments):
        found = json.loads(evaluate("agreement", "--json", "--rounds", 50, *arguments))
        return {(row["first"], row["second"]): row for row in found["agreement"]}

    @pytest.mark.parametrize(("turn", "expected"), [(1, (937, 374, 491, 312)), (2, (978, 441, 548, 366))])
    def test_it_is_what_compute_agreement_says(self, files, turn, expected):
        rows = self.rows("--votes", files / "human.json", f"gpt-4={files / 'gpt4.json'}", "--turn", turn)
        row = rows["people", "gpt-4"]
        total, equal, decided, equal_decided = expected
        assert row["with_ties"]["pairs"] == pytest.approx(total)
        assert row["with_ties"]["rate"]["value"] == pytest.approx(equal / total, abs=1e-12)
        assert row["without_ties"]["pairs"] == pytest.approx(decided)
        assert row["without_ties"]["rate"]["value"] == pytest.approx(equal_decided / decided, abs=1e-12)
        assert ("people", "people") in rows

    def test_a_card_says_how_a_judge_compares_with_people(self, files):
        said = evaluate(
            "agreement",
            *("--rounds", 50, "--votes", files / "human.json"),
            *("--judgments", files / "pair.jsonl", files / "answers.jsonl"),
        )
        assert "gpt-4 – people" in said
        assert "Judge gpt-4" in said
        assert "0, 960, 69" in said
        assert "agrees with people, ties left out" in said
        assert "per doubling of length" in said

    def test_three_judges_make_a_panel_and_a_second_grading_a_drift(self, files, tmp_path):
        folder = tmp_path / "later"
        folder.mkdir()
        for judge, add in (("x", 0), ("y", 1), ("z", 0)):
            rows = [
                row
                | {"judge": [judge, "own"], "score": row["score"] if row["score"] < 0 else row["score"] + add}
                for row in generated.singles()
            ]
            (folder / f"{judge}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        earlier = tmp_path / "earlier.jsonl"
        earlier.write_text(
            "\n".join(json.dumps(row | {"judge": ["y", "own"]}) for row in generated.singles())
        )
        found = json.loads(
            evaluate("agreement", "--json", "--rounds", 20, "--judgments", folder, "--earlier", earlier)
        )
        kinds = {row["first"] for row in found["agreement"]} | {row["second"] for row in found["agreement"]}
        assert kinds == {"x (scores)", "y (scores)", "z (scores)", "panel of 3 (scores)"}
        assert all(row["with_ties"]["rate"]["value"] == 1 for row in found["agreement"])
        cards = {card["judge"]: card for card in found["cards"]}
        assert cards["y"]["drift"]["difference"]["value"] == pytest.approx(1)
        assert cards["x"]["drift"] is None

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "Name files"),
            (["--votes", "{files}/nowhere.json"], "nowhere.json"),
            (["--votes", "{files}/single.jsonl"], "line 2: this is not JSON"),
            (["--votes", "{files}/gpt4.json", "--turn", "9"], "No two of these"),
            (["--votes", "{files}/gpt4.json", "--turn", "0"], "--turn"),
            (["--votes", "{files}/gpt4.json", "--earlier", "{files}/single.jsonl"], "--earlier"),
        ],
    )
    def test_it_says_what_is_wrong(self, files, arguments, message):
        with pytest.raises(CommandError, match=message):
            evaluate("agreement", *(argument.format(files=files) for argument in arguments))
