"""Judgments made up from a seed, with errors, ties and inconsistent games among them."""

import random

MODELS = ("alpha", "beta", "delta", "gamma")
CATEGORIES = ("writing", "maths", "coding", "stem")
STRENGTH = {"alpha": 7.5, "beta": 6.0, "delta": 3.5, "gamma": 5.0}
QUESTIONS = range(1, 81)


def singles():
    """640 rows of FastChat's `…_single.jsonl`."""
    chance = random.Random(20261124)
    return [
        {
            "question_id": question,
            "model": model,
            "judge": ["gpt-4", "single-v1" if turn == 1 else "single-v1-multi-turn"],
            "user_prompt": "…",
            "judgment": "…",
            "score": -1
            if chance.random() < 0.05
            else min(10, max(1, round(chance.gauss(STRENGTH[model] - 0.4 * turn, 2) * 2) / 2)),
            "turn": turn,
            "tstamp": 1.0,
        }
        for question in QUESTIONS
        for model in MODELS
        for turn in (1, 2)
    ]


def _game(chance, first, second):
    roll = chance.random()
    if roll < 0.04:
        return "error"
    if roll < 0.2:
        return "tie"
    return "model_1" if chance.gauss(STRENGTH[first] - STRENGTH[second], 2.5) > 0 else "model_2"


def pairs():
    """960 rows of FastChat's `…_pair.jsonl`."""
    chance = random.Random(42)
    return [
        {
            "question_id": question,
            "model_1": first,
            "model_2": second,
            "g1_winner": _game(chance, first, second),
            "g2_winner": _game(chance, first, second),
            "judge": ["gpt-4", "pair-v2"],
            "g1_user_prompt": "…",
            "g1_judgment": "…",
            "g2_user_prompt": "…",
            "g2_judgment": "…",
            "turn": turn,
            "tstamp": 1.0,
        }
        for question in QUESTIONS
        for index, first in enumerate(MODELS)
        for second in MODELS[index + 1 :]
        for turn in (1, 2)
    ]


def votes():
    """(people's votes, GPT-4's votes) as `compute_agreement.py` reads them; up to four people a comparison."""
    chance = random.Random(7)
    human, gpt4 = [], []
    for question in QUESTIONS:
        for index, first in enumerate(MODELS):
            for second in MODELS[index + 1 :]:
                for turn in (1, 2):
                    a, b = (first, second) if chance.random() < 0.5 else (second, first)
                    common = {"question_id": question, "model_a": a, "model_b": b, "turn": turn}
                    gpt4.append({**common, "winner": _vote(chance, a, b), "judge": ["gpt-4", "pair-v2"]})
                    human += [
                        {**common, "winner": _vote(chance, a, b), "judge": f"expert_{chance.randrange(9)}"}
                        for _ in range(chance.randrange(5))
                    ]
    return human, gpt4


def _vote(chance, a, b):
    roll = chance.random()
    if roll < 0.25:
        return "tie" if roll < 0.15 else "tie (inconsistent)"
    return "model_a" if chance.gauss(STRENGTH[a] - STRENGTH[b], 3) > 0 else "model_b"
