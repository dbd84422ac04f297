from evaluation.benchmarks import numbers


def test_both_modes_are_timed_against_the_limit(monkeypatch):
    said: list[str] = []
    assert numbers.measure(judgments=700, rounds=20, say=said.append)
    assert ["single: 700 judgments" in said[0], "pairwise-all: 700 judgments" in said[1]] == [True, True]
    monkeypatch.setattr(numbers, "LIMIT", 0.0001)
    assert not numbers.measure(judgments=700, rounds=20, say=said.append)


def test_no_two_made_up_judgments_are_of_the_same():
    """The newest of equals would replace the others, and less than was promised would be measured."""
    singles = [(row["question_id"], row["turn"], row["model"]) for row in numbers._singles(1000)]
    pairs = [
        (row["question_id"], row["turn"], row["model_1"], row["model_2"], str(row["judge"]))
        for row in numbers._pairs(1000)
    ]
    assert len(set(singles)) == len(set(pairs)) == 1000
