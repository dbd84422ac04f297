"""A small suite on disk, and scripted chat models that answer and judge."""

import json
from pathlib import Path
from typing import Any

from evaluation.models import EvaluationRun
from evaluation.services import plans, runs
from tests.factories import make_chat_model

QUESTIONS: list[dict[str, Any]] = [
    {"question_id": 1, "category": "writing", "turns": ["Say one.", "Say two."]},
    {"question_id": 2, "category": "maths", "turns": ["What is 2 + 2?", "Plus 1?"], "reference": ["4", "5"]},
    {"question_id": "x3", "category": "stem", "turns": ["Why is the sky blue?"]},
]
TURNS = 5


def write_suite(folder: Path, rows=QUESTIONS, name="small.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def host(client, name: str, script: str = "", **values):
    """A chat model in the catalog, and alive."""
    client.host_script(name, script)
    return make_chat_model(name, **values)


def plan_run(suite: str, *chat_models: str, judges=(), **values) -> EvaluationRun:
    parameters = {"attempts": 1, **values.pop("parameters", {})}
    plan = plans.plan(
        suite=suite, chat_models=chat_models, judge_names=judges, parameters=parameters, **values
    )
    return runs.create(plan=plan)
