"""Topics are found by the words that prompts share."""

import random

from arena.labelling import topics

COOKING = ["bread", "oven", "flour", "recipe", "yeast", "baking", "dough", "butter", "sugar", "cake"]
STARS = ["planet", "telescope", "galaxy", "orbit", "star", "moon", "comet", "gravity", "space", "rocket"]
MONEY = ["bank", "interest", "loan", "budget", "savings", "tax", "invoice", "salary", "mortgage", "stock"]


def made(words: list[str], number: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [f"Please explain the {' and the '.join(draw.sample(words, 4))} to me" for _ in range(number)]


def test_it_finds_the_groups_that_were_made():
    prompts = made(COOKING, 30, 1) + made(STARS, 20, 2) + made(MONEY, 10, 3)
    found = topics.find(prompts, topics=3)
    assert [len(topic.members) for topic in found] == [30, 20, 10]
    for topic, words, rows in zip(found, (COOKING, STARS, MONEY), ((0, 30), (30, 50), (50, 60)), strict=True):
        assert set(topic.members) == set(range(*rows))
        assert set(topic.words) <= set(words)


def test_the_same_prompts_give_the_same_topics():
    prompts = made(COOKING, 25, 1) + made(STARS, 25, 2)
    assert topics.find(prompts) == topics.find(prompts)


def test_examples_are_nearest_to_the_middle_first():
    prompts = [*made(STARS, 12, 5), "star star star unrelated singular words here galaxy"]
    (topic,) = topics.find(prompts, topics=1)
    assert topic.members[-1] == 12


def test_everyday_words_are_no_topic():
    assert topics.terms_of("Please explain what this is and how you can write it") == []
    assert topics.terms_of("Ein Rezept für Brot, 2 Stück!") == ["rezept", "brot", "stück"]


def test_chinese_is_taken_in_pairs_of_signs():
    assert topics.terms_of("机器学习") == ["机器", "器学", "学习"]
    prompts = ["解释机器学习"] * 3 + ["红烧肉做法"] * 3
    assert [topic.members for topic in topics.find(prompts, topics=2)] in (
        [(0, 1, 2), (3, 4, 5)],
        [(3, 4, 5), (0, 1, 2)],
    )


def test_prompts_that_share_nothing_make_no_topics():
    assert topics.find([]) == []
    assert topics.find(["alpha", "beta", "gamma", "delta"]) == []
    assert topics.find(["same words here"] * 2) == []


def test_there_are_not_too_many_topics():
    prompts = made(COOKING + STARS + MONEY, 200, 7)
    assert len(topics.find(prompts, topics=500)) <= topics.MOST_TOPICS
