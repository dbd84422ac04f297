"""Material for reports, generated without a database: seeded, with planted strengths and planted errors."""

import random

from evaluation.records import Answer, PairVerdict, Question, SingleVerdict
from evaluation.report.material import Material

CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
MODELS = ("smol", "gemma", "llama")
PROSE = "The tide comes in twice a day because the Earth turns beneath two bulges of water. "


def make_material(amount: int = 24, chat_models=MODELS, seed: int = 5, **values) -> Material:
    dice = random.Random(seed)
    questions = tuple(
        Question(
            id=str(81 + number),
            category=CATEGORIES[number % len(CATEGORIES)],
            turns=(f"Explain the tides to a child, in {number + 2} sentences.", "Now in a single sentence."),
            reference=(),
        )
        for number in range(amount)
    )
    answers = tuple(
        Answer(
            question_id=question.id,
            chat_model=name,
            turns=tuple(PROSE * dice.randint(1, 6) for _ in range(2)),
        )
        for question in questions
        for name in chat_models
    )
    return Material(
        **{
            "title": "Tides: smol, gemma, llama",
            "questions": questions,
            "answers": answers,
            "singles": tuple(_singles(questions, chat_models, dice)),
            "pairs": tuple(_pairs(questions, chat_models, dice)),
            "people": tuple(_people(questions, chat_models, dice)),
            "facts": (("Suite", "Tides 1"), ("Judges", "strict, lenient")),
            **values,
        }
    )


def _singles(questions, chat_models, dice):
    for judge in ("strict", "lenient"):
        for question in questions:
            for turn in (1, 2):
                for strength, name in enumerate(chat_models):
                    score = 3 + 1.5 * strength + dice.randint(0, 3)
                    failed = dice.random() < 0.03
                    yield SingleVerdict(
                        question_id=question.id,
                        chat_model=name,
                        judge=judge,
                        turn=turn,
                        score=None if failed else min(10.0, score),
                        judgment="I cannot say." if failed else f"Clear and short. [[{score:g}]]",
                    )


def _pairs(questions, chat_models, dice):
    for judge in ("strict", "lenient"):
        for question in questions:
            for turn in (1, 2):
                for i, one in enumerate(chat_models):
                    for other in chat_models[i + 1 :]:
                        games = [
                            dice.choices(["model_2", "model_1", "tie", first, "error"], [45, 15, 15, 20, 2])[
                                0
                            ]
                            for first in ("model_1", "model_2")
                        ]
                        yield PairVerdict(
                            question_id=question.id,
                            model_1=one,
                            model_2=other,
                            judge=judge,
                            turn=turn,
                            g1_winner=games[0],
                            g2_winner=games[1],
                            g1_judgment=f"I prefer {games[0]}.",
                            g2_judgment=f"I prefer {games[1]}.",
                        )


def _people(questions, chat_models, dice):
    for person in (1, 2):
        for question in questions[:16]:
            winner = dice.choices(["model_2", "model_1", "tie"], [5, 2, 3])[0]
            yield PairVerdict(
                question_id=question.id,
                model_1=chat_models[0],
                model_2=chat_models[1],
                judge=f"person {person}",
                turn=1,
                g1_winner=winner,
                g2_winner=winner,
            )
