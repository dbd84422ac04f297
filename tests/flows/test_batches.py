"""A batch on the true stack, with every process killed in its middle."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator

import openai
import psutil
import pytest

from tests.flows.browsing import log_in, make_key
from tests.flows.stack import Stack, until

REQUESTS = 500
SCRIPT = "rate=40&tokens=8"


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    """A stack of this module's own: all of it is killed."""
    running = Stack("--no-model")
    try:
        yield running.wait_ready()
    finally:
        running.close()


def lines() -> bytes:
    return b"".join(
        json.dumps(
            {
                "custom_id": f"id-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "steady", "messages": [{"role": "user", "content": f"Request {number}"}]},
            }
        ).encode()
        + b"\n"
        for number in range(REQUESTS)
    )


def kill_everything(stack: Stack) -> None:
    """SIGKILL to the supervisor, its children and the extra worker, none of which gets a word."""
    processes = [*stack.everything(), *(psutil.Process(child.pid) for child in stack.children)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs(processes, timeout=300)
    assert not alive


def test_five_hundred_requests_survive_the_death_of_every_process_and_are_answered_once(own: Stack):
    key = make_key(log_in(own, "admin", own.admin_password))
    own.add_worker("steady", SCRIPT, name="steady-1")
    with openai.OpenAI(base_url=f"{own.url}/v1", api_key=key) as client:
        file = client.files.create(file=("requests.jsonl", lines()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )

        def done() -> int:
            time.sleep(0.5)  # asking is work, too, and the batch has two cores with all of this
            counts = client.batches.retrieve(batch.id).request_counts
            return counts.completed if counts else 0

        until(lambda: done() > 40, "the first answers")
        kill_everything(own)
        own.restart()
        before = done()
        own.add_worker("steady", SCRIPT, name="steady-2")
        until(lambda: done() == REQUESTS, "the last answer")
        until(lambda: client.batches.retrieve(batch.id).status == "completed", "the end of the batch")

        assert before < REQUESTS, "it was over before anything was killed"
        finished = client.batches.retrieve(batch.id)
        assert finished.request_counts
        assert (finished.request_counts.completed, finished.request_counts.failed) == (REQUESTS, 0)
        assert finished.output_file_id
        answers = [
            json.loads(line) for line in client.files.content(finished.output_file_id).text.splitlines()
        ]
    assert Counter(answer["custom_id"] for answer in answers) == Counter(
        f"id-{number}" for number in range(REQUESTS)
    )
    whole = " ".join(f"w{number}" for number in range(8))
    assert {answer["response"]["body"]["choices"][0]["message"]["content"] for answer in answers} == {whole}
