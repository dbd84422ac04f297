"""Evaluations for tests of what people read: generated, seeded, with planted strengths."""

import random

from evaluation.models import EvaluationRun, HumanVerdict, StoredAnswer, StoredVerdict, SuiteSnapshot

HOSTILE = "<script>alert('owned')</script><img src=x onerror=alert(1)> {{ settings.SECRET_KEY }} & \" '"
CATEGORIES = ("maths", "code", "prose", "facts")
MODELS = ("parrot", "poet")


def make_suite(amount: int = 8, turns: int = 2) -> SuiteSnapshot:
    questions = [
        {
            "question_id": number,
            "category": CATEGORIES[number % len(CATEGORIES)],
            "turns": [f"Question {number}, turn {turn}?" for turn in range(1, turns + 1)],
            "reference": [],
        }
        for number in range(1, amount + 1)
    ]
    return SuiteSnapshot.objects.create(content_hash=f"{amount}-{turns}", name="tiny", questions=questions)


def make_run(
    *,
    amount: int = 8,
    chat_models=MODELS,
    judges=("strict", "lenient"),
    mode="pairwise-all",
    seed=7,
    **values,
) -> EvaluationRun:
    """Finished; the last of the chat models is the best, and each judge leans a little to what it sees first."""
    suite = SuiteSnapshot.objects.filter(content_hash=f"{amount}-2").first() or make_suite(amount)
    run = EvaluationRun.objects.create(
        **{
            "suite": suite,
            "suite_source": "tiny",
            "chat_models": list(chat_models),
            "judges": list(judges),
            "mode": mode,
            "status": "finished",
            **values,
        }
    )
    StoredAnswer.objects.bulk_create(
        StoredAnswer(
            run=run,
            question_id=str(question["question_id"]),
            chat_model=name,
            turns=[f"{name[::-1]} says {turn} to {question['question_id']}" for turn in (1, 2)],
            complete=True,
            outcome="stop",
        )
        for question in suite.questions
        for name in chat_models
    )
    make = _pair_verdicts if mode.startswith("pairwise") else _single_verdicts
    StoredVerdict.objects.bulk_create(make(run, random.Random(seed)))
    return run


def _pair_verdicts(run, dice):
    pairs = [(a, b) for i, a in enumerate(run.chat_models) for b in run.chat_models[i + 1 :]]
    for judge in run.judges:
        for question in run.suite.questions:
            for turn in (1, 2):
                for one, other in pairs:
                    for game in (1, 2):
                        first = "model_1" if game == 1 else "model_2"
                        winner = dice.choices(["model_2", "tie", first], [5, 2, 3])[0]
                        yield StoredVerdict(
                            run=run,
                            kind="pair",
                            question_id=str(question["question_id"]),
                            turn=turn,
                            judge=judge,
                            model_1=one,
                            model_2=other,
                            game=game,
                            winner=winner,
                            judgment=f"In game {game} I prefer {winner}.",
                            content_key=f"{judge}{question['question_id']}{turn}{game}",
                        )


def _single_verdicts(run, dice):
    for judge in run.judges:
        for question in run.suite.questions:
            for turn in (1, 2):
                for strength, name in enumerate(run.chat_models):
                    yield StoredVerdict(
                        run=run,
                        kind="single",
                        question_id=str(question["question_id"]),
                        turn=turn,
                        judge=judge,
                        model_1=name,
                        score=min(10, 4 + 2 * strength + dice.randint(0, 3)),
                        judgment="Quite good.",
                        content_key=f"{judge}{question['question_id']}{turn}{name}",
                    )


def vote(run, person, question_id="1", turn=1, winner="model_2", **values) -> HumanVerdict:
    one, other = sorted(run.chat_models)[:2]
    return HumanVerdict.objects.create(
        run=run,
        person=person,
        question_id=question_id,
        turn=turn,
        winner=winner,
        **{"model_1": one, "model_2": other, **values},
    )
