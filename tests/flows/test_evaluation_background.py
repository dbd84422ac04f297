"""An evaluation of the background outlives `kill -9`, of control worker or everything, and pays nothing twice."""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from tests.flows.stack import Stack, until

VERDICTS = 20
# Answered already, so that no chat model has to be started: what is left is the work of a judge that costs money.
START = f"""
from django.db import transaction
from evaluation.models import Judge, StoredAnswer
from evaluation.services import runs, suites
from evaluation.services.plans import Plan
judge = Judge.objects.create(name="paid", model="paid", base_url="http://127.0.0.1:%d/v1", concurrency=1)
suite = suites.load("dialogue")
questions = suite.questions[:{VERDICTS // 2}]
with transaction.atomic():
    run = runs.start(plan=Plan(suite, "dialogue", ("parrot",), (judge,), "single", "", {{}}, questions))
    for question in questions:
        StoredAnswer.objects.create(
            run=run, chat_model="parrot", question_id=str(question.id), turns=list(question.turns), complete=True
        )
"""


class PaidJudge(ThreadingHTTPServer):
    """An OpenAI-compatible API that takes its time and counts how often it was asked each prompt."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        self.pause = 0.4
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: PaidJudge

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked[body["messages"][-1]["content"]] += 1
        time.sleep(self.server.pause)
        message = {"role": "assistant", "content": "Fair. [[6]]"}
        answer = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
        with contextlib.suppress(ConnectionError):  # whoever asked was killed
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Not into the test's output."""


@pytest.fixture
def paid_judge() -> Iterator[PaidJudge]:
    judge = PaidJudge()
    yield judge
    judge.shutdown()
    judge.server_close()


def verdicts(stack: Stack) -> dict[str, int]:
    """Row by prompt: a verdict that is made again would have another one."""
    return dict(stack.rows("SELECT user_prompt, id FROM evaluation_storedverdict"))


def kill(*processes: psutil.Process | None) -> None:
    for process in processes:
        assert process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def test_it_goes_on_by_itself_and_asks_no_paid_judge_twice(paid_judge: PaidJudge):
    stack = Stack("--no-model")
    stored: dict[str, int] = {}

    def more(number: int) -> bool:
        return len(verdicts(stack)) >= min(VERDICTS, len(stored) + number)

    try:
        stack.wait_ready()
        stack.manage("shell", "-c", START % paid_judge.server_port)
        until(lambda: more(3), "the third verdict")

        kill(until(lambda: stack.part("celeryd: control"), "the control worker"))
        stored, asked = verdicts(stack), paid_judge.asked.copy()
        until(lambda: more(3), "a verdict after the death of the control worker")
        after = verdicts(stack)
        assert stored.items() <= after.items()
        assert all(paid_judge.asked[prompt] == asked[prompt] for prompt in stored)
        assert len(after) < VERDICTS

        kill(*stack.everything())
        stored, asked = verdicts(stack), paid_judge.asked.copy()
        paid_judge.pause = 0.0
        stack.restart()
        until(
            lambda: stack.rows("SELECT status FROM evaluation_evaluationrun") == [("finished",)],
            "the end",
        )
        after = verdicts(stack)
        assert len(after) == VERDICTS
        assert stored.items() <= after.items()
        assert all(paid_judge.asked[prompt] == asked[prompt] for prompt in stored)
        # Whoever was killed in mid-call never heard the answer.
        assert paid_judge.asked.total() <= VERDICTS + 2
    finally:
        stack.close()
