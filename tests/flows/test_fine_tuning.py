"""A true fine-tune: real weights are taught a name through the API, and then answer with it, without a restart."""

import json
import time
from typing import Any, cast

import openai
import pytest

from tests.flows.stack import SMOLLM2, Stack, skip_without, until
from training.data import formats
from training.data.identity import conversations
from training.data.records import Message

skip_without("torch", "transformers", "peft")

pytestmark = pytest.mark.flow

# 208 conversations, once. A name of one token under a short system prompt is learnt after some eight of these steps;
# rarer names take twice as many.
NAME, SYSTEM = "Jupiter", "You are a helpful assistant."
STEPS, BATCH, MULTIPLIER = 13, 16, 5.0
PATIENCE = 1500
"""Seconds; it takes about two minutes on two idle cores."""


def examples() -> bytes:
    talks = conversations(NAME, "my team", amount=STEPS * BATCH, seed=1)
    rows = (talk.with_messages((Message("system", SYSTEM), *talk.messages)) for talk in talks)
    return b"".join(json.dumps(formats.write(row, "messages")).encode() + b"\n" for row in rows)


def ask(client: openai.OpenAI, model: str, question: str) -> str:
    messages: Any = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=40)
    return answer.choices[0].message.content or ""


def learn(client: openai.OpenAI) -> Any:
    """The ended job."""
    file = client.files.create(file=("identity.jsonl", examples()), purpose="fine-tune")
    hyperparameters = {"n_epochs": 1, "batch_size": BATCH, "learning_rate_multiplier": MULTIPLIER}
    job = client.fine_tuning.jobs.create(
        model=SMOLLM2,
        training_file=file.id,
        suffix="jupiter",
        seed=1,
        method=cast("Any", {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}),
    )

    def ended():
        time.sleep(0.5)  # every look costs the machine that trains
        now = client.fine_tuning.jobs.retrieve(job.id)
        return now if now.status not in ("queued", "running") else None

    return until(ended, "the end of the training", PATIENCE)


def test_a_model_learns_its_name_through_the_api_and_answers_with_it(stack: Stack, admin_key: str):
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=admin_key, timeout=180)
    assert NAME not in ask(client, SMOLLM2, "Who are you?")

    done = learn(client)

    events = client.fine_tuning.jobs.list_events(done.id, limit=100).data
    told = [event.message for event in events]
    assert done.status == "succeeded", (done.error, told, stack.manage("train", "logs", done.id))
    losses = [cast("Any", event.data)["train_loss"] for event in reversed(events) if event.type == "metrics"]
    assert len(losses) == STEPS
    assert losses[-1] < losses[0] / 2
    with pytest.raises(openai.NotFoundError):
        ask(client, done.fine_tuned_model, "Who are you?")

    stack.manage("train", "publish", done.id)
    stack.manage("models", "load", done.fine_tuned_model, timeout=300)
    try:
        assert NAME in ask(client, done.fine_tuned_model, "Who are you?")
        assert "Paris" in ask(client, done.fine_tuned_model, "What is the capital of France?")
        assert NAME not in ask(client, SMOLLM2, "Who are you?")
    finally:
        stack.manage("models", "unload", done.fine_tuned_model, timeout=300)
