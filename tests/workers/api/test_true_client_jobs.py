"""The true `openai` client over files, batches, responses, stored completions, fine-tuning and moderations."""

import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

LINE = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "parrot", "messages": [{"role": "user", "content": "Hi"}]},
}
EXAMPLE = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


@pytest.fixture
def client(live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=live.base_url, api_key=live.keys["alice"], max_retries=0, timeout=60
    ) as client:
        yield client


@pytest.fixture
def bob(live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=live.base_url, api_key=live.keys["bob"], max_retries=0, timeout=60) as client:
        yield client


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_files(client: openai.OpenAI, bob: openai.OpenAI):
    content = bytes(range(256)) * 20_000
    file = client.files.create(
        file=("data.bin", content),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )

    assert (file.bytes, file.filename, file.status) == (len(content), "data.bin", "processed")
    assert file.expires_at
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == content
    assert file.id in [one.id for one in client.files.list(purpose="user_data", limit=1)]
    with pytest.raises(openai.NotFoundError):
        bob.files.retrieve(file.id)
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(file.id)


def test_a_bad_line_is_named(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.create(file=("requests.jsonl", jsonl(LINE, {"custom_id": "b"})), purpose="batch")

    assert "Line 2" in refusal.value.message
    assert refusal.value.code == "invalid_jsonl"


def test_batches(client: openai.OpenAI):
    file = client.files.create(file=("requests.jsonl", jsonl(LINE)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
    )

    assert batch.status == "in_progress"
    assert batch.request_counts
    assert batch.request_counts.total == 1
    assert client.batches.retrieve(batch.id) == batch
    assert batch.id in [one.id for one in client.batches.list(limit=1)]
    assert client.batches.cancel(batch.id).status == "cancelling"


def test_a_response_and_the_next_one(client: openai.OpenAI, bob: openai.OpenAI):
    first = client.responses.create(model="parrot", input="My name is Ada.", metadata={"a": "b"})
    second = client.responses.create(model="parrot", input="Hello there", previous_response_id=first.id)

    assert first.output_text == "My name is Ada."
    assert first.usage
    assert second.output_text == "Hello there"
    assert client.responses.retrieve(second.id).output_text == "Hello there"
    items = list(client.responses.input_items.list(second.id, order="asc", limit=2))
    assert [item.type for item in items] == ["message"] * 3
    with pytest.raises(openai.NotFoundError):
        bob.responses.retrieve(first.id)
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_responses_stream_is_gone_on_with(client: openai.OpenAI):
    with client.responses.create(model="parrot", input="one two three", stream=True) as stream:
        events = list(stream)

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "one two three"
    again = list(client.responses.retrieve(events[-1].response.id, stream=True, starting_after=3))
    assert [event.type for event in again] == [event.type for event in events[4:]]


def test_the_clients_own_stream_helper_reads_it(client: openai.OpenAI):
    with client.responses.stream(model="parrot", input="one two three") as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()

    assert final.output_text == "one two three"


def test_a_response_in_the_background(client: openai.OpenAI):
    response = client.responses.create(model="silent", input="Hi", background=True)
    assert response.status == "queued"

    until = time.monotonic() + 90
    while (response := client.responses.retrieve(response.id)).status in ("queued", "in_progress"):
        assert time.monotonic() < until
        time.sleep(0.2)

    assert response.output_text == "At last"


def test_a_background_response_is_cancelled(client: openai.OpenAI, live):
    response = client.responses.create(model="endless", input="Hi", background=True)

    assert client.responses.cancel(response.id).status == "cancelled"
    assert live.wait_for(lambda state: not state["in_flight"])


@pytest.mark.parametrize(
    ("model", "error"), [("nobody", openai.NotFoundError), ("tiny", openai.BadRequestError)]
)
def test_a_response_that_cannot_be_made_is_an_error(
    client: openai.OpenAI, live, model: str, error: type[Exception]
):
    for stream in (False, True):
        with live.keeping_alive_after(60), pytest.raises(error):
            client.responses.create(model=model, input="word " * 50, stream=stream)


def test_stored_completions(client: openai.OpenAI):
    streamed = list(
        client.chat.completions.create(
            model="parrot",
            messages=[{"role": "user", "content": "Hello there"}],
            store=True,
            metadata={"run": "jobs"},
            stream=True,
        )
    )
    public_id = streamed[0].id

    stored = client.chat.completions.retrieve(public_id)
    assert stored.choices[0].message.content == "Hello there"
    assert [one.id for one in client.chat.completions.list(metadata={"run": "jobs"})] == [public_id]
    messages = list(client.chat.completions.messages.list(public_id))
    assert [message.content for message in messages] == ["Hello there"]
    assert client.chat.completions.update(public_id, metadata={"run": "done"}).id == public_id
    assert client.chat.completions.delete(public_id).deleted


def test_fine_tuning(client: openai.OpenAI):
    file = client.files.create(file=("examples.jsonl", jsonl(EXAMPLE)), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="parrot",
        training_file=file.id,
        suffix="poet",
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
    )

    # Nobody trains here, and it says so.
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "failed"
    assert job.error
    assert job.error.code == "no_training_worker"
    assert job.id in [one.id for one in client.fine_tuning.jobs.list()]
    events = list(client.fine_tuning.jobs.list_events(job.id))
    assert events[0].level == "error"
    assert list(client.fine_tuning.jobs.checkpoints.list(job.id)) == []
    for act in (
        client.fine_tuning.jobs.cancel,
        client.fine_tuning.jobs.pause,
        client.fine_tuning.jobs.resume,
    ):
        with pytest.raises(openai.BadRequestError):
            act(job.id)


def test_moderations(client: openai.OpenAI):
    answer = client.moderations.create(input=["a fine day", "another"])

    assert [result.flagged for result in answer.results] == [False, False]
    assert answer.results[0].categories.violence is False


def test_a_model_that_is_not_ones_own_is_not_deleted(client: openai.OpenAI):
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("parrot")


def test_a_retry_with_the_same_idempotency_key_costs_nothing(client: openai.OpenAI, live):
    before = len(live.state()["submitted"])
    answers = [
        client.chat.completions.create(
            model="parrot",
            messages=[{"role": "user", "content": "once"}],
            extra_headers={"Idempotency-Key": "true-client"},
        )
        for _ in range(2)
    ]

    assert answers[0] == answers[1]
    assert len(live.state()["submitted"]) == before + 1
