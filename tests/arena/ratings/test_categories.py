import time

import pytest

from arena.ratings import style
from arena.ratings.categories import CATEGORIES, Turn, label, language


def categories(*prompts, left="Fine.", right="Good."):
    return set(label([Turn(prompt, left, right) for prompt in prompts]).categories)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What is the capital of France?", "en"),
        ("Wie schreibe ich eine Bewerbung für eine Stelle?", "de"),
        ("Quelle est la capitale de la France ?", "fr"),
        ("¿Cuál es la capital de Francia y por qué?", "es"),
        ("Qual é a capital da França? Explique, por favor, você.", "pt"),
        ("Come si dice in italiano? Spiega la differenza", "it"),
        ("请写一首关于春天的诗", "zh"),
        ("春についての詩を書いてください", "ja"),
        ("봄에 대한 시를 써 주세요", "ko"),
        ("Напиши стихотворение о весне", "ru"),
        ("Напиши вірш про весну і її красу", "uk"),
        ("اكتب قصيدة عن الربيع", "ar"),
        ("यह क्या है", "hi"),
        ("1 + 1 = ?", "unknown"),
        ("", "unknown"),
        ("```\nthe of and\n```", "unknown"),
    ],
)
def test_it_tells_languages(text, code):
    assert language(text) == code


@pytest.mark.parametrize(
    ("prompt", "category"),
    [
        ("Write a Python script that renames files.", "coding"),
        ("What does this do?\n```\nx = 1\n```", "coding"),
        ("Find the derivative of x^2 + 3x.", "maths"),
        ("Prove that there are infinitely many prime numbers.", "maths"),
        ("Write a haiku about rain.", "creative"),
        ("Describe Rome in exactly three sentences.", "instruction_following"),
        ("Answer only in JSON with the keys a and b.", "instruction_following"),
    ],
)
def test_it_finds_the_category(prompt, category):
    assert category in categories(prompt)


@pytest.mark.parametrize(
    "prompt", ["What is the capital of France?", "I feel sad today.", "Who was Napoleon?", "Hello!"]
)
def test_small_talk_is_in_no_category(prompt):
    assert categories(prompt) == set()


def test_a_hard_prompt_shows_several_signs():
    prompt = (
        "Design a rate limiter for a production API that serves 20000 requests per second. Compare a "
        "token bucket with a sliding window, explain how each behaves given a burst of 500 requests, and "
        "implement the better one in Python. Use at most 40 lines. What are the trade-offs? How would you test it?"
    )
    labels = label([Turn(prompt, "", "")])
    assert "hard" in labels.categories
    assert "reasoning" in labels.evidence["hard"]


def test_long_and_multi_turn_are_counted():
    assert categories("word " * 600) == {"long"}
    assert categories("Hello!", "And now?") == {"multi_turn"}
    assert "long" in categories("春" * 600)


def test_code_in_both_answers_is_coding():
    answer = "```\nx\n```"
    assert categories("Please do that again.", left=answer, right=answer) == {"coding"}


def test_a_refusal_is_labelled():
    assert categories("Hello!", left="I'm sorry, but I can't help with that.") == {"refusal"}


def test_a_metaphor_in_code_is_not_creative():
    assert "creative" not in categories("What is this?\n```\npoem = 1\n```")


def test_no_turns_have_no_labels():
    assert label([]).categories == ()


def test_hostile_text_takes_no_time():
    started = time.thread_time()
    for text in (
        "(" * 50_000,
        "`" * 50_000,
        "do not " * 9000,
        "$" * 50_000,
        "a" * 50_000,
        "answer " * 8000,
        "\n- " * 20000,
    ):
        label([Turn(text, text, text)])
        style.count(text)
    assert time.thread_time() - started < 20  # a second, where a square of the length would be many minutes


def test_every_label_is_a_known_category():
    assert set(label([Turn("Write a poem in Python, exactly ten lines", "", "")]).categories) <= set(
        CATEGORIES
    )
