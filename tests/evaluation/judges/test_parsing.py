import pytest

from evaluation.judges import parsing


@pytest.mark.parametrize(
    ("judgment", "score"),
    [
        ("A fine answer. Rating: [[7]]", 7),
        ("[[8.5]]", 8.5),
        ("[[ 9 / 10 ]]", 9),
        ("[[rating: 4]]", 4),
        ("I give it [6].", 6),
        ("Score: 5", 5),
        ("The rating is **3**.", 3),
        ("I would say 8/10.", 8),
        ('{"explanation": "fine", "score": 2}', 2),
        ('```json\n{"explanation": "it has {braces}", "score": 10}\n```', 10),
        ("The scale is [[1]] to [[10]].\nRating: [[7]]", 7),
        ("Zu kurz. [[１]] [[2]]", 2),
    ],
)
def test_it_reads_a_score(judgment, score):
    assert parsing.score(judgment) == score


@pytest.mark.parametrize(
    "judgment",
    [
        "",
        "It is good.",
        "[[99]]",
        "[[0]]",
        "[[-3]]",
        "[[rating]]",
        "It is a [[3]] or a [[9]].",
        '{"score": "high"}',
        '{"score": 11}',
        '{"score": true}',
    ],
)
def test_nonsense_is_no_score(judgment):
    assert parsing.score(judgment) is None


@pytest.mark.parametrize(
    ("judgment", "place"),
    [
        ("[[A]]", "A"),
        ("B is better. [[B]]", "B"),
        ("[[C]]", "tie"),
        ("[[tie]]", "tie"),
        ("My verdict: [b]", "B"),
        ("Winner: Assistant A", "A"),
        ('{"explanation": "…", "winner": "tie"}', "tie"),
        ("Say [[A]], [[B]] or [[C]].\nFinal verdict: [[B]]", "B"),
    ],
)
def test_it_reads_a_choice(judgment, place):
    assert parsing.choice(judgment) == place


@pytest.mark.parametrize("judgment", ["", "Both are fine.", "[[D]]", "[[A]] or [[B]]", '{"winner": "both"}'])
def test_nonsense_is_no_choice(judgment):
    assert parsing.choice(judgment) is None
