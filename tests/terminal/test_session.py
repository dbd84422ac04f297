"""Talking to the parrot, which repeats what it is told, through the true host and streams."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.terminal.conftest import Notebook
from tests.workers.support import wait_until
from workers.protocol import Delta, ErrorCode, Finished, FinishReason, Sampling, Started, Waiting
from workers.terminal.session import COMMANDS, Session
from workers.terminal.talk import Talk


def texts(talk: Talk) -> list[str]:
    return [message.content for message in talk.messages]


def interactive(talk: Talk, notebook: Notebook) -> Session:
    return Session(chat_model="parrot", talk=talk, sampling=Sampling(), style=notebook, interactive=True)


def press_ctrl_c_once(condition: Callable[[], Any]) -> threading.Thread:
    """Presses it a moment after `condition` became true."""

    def press() -> None:
        wait_until(condition)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def test_it_answers_each_line_and_remembers_the_talk(say, talk, workers_client):
    notebook = say("Hello", "你好 \U0001f99c")
    assert notebook.answers == ["Hello", "你好 \U0001f99c"]
    assert texts(talk) == ["Hello", "Hello", "你好 \U0001f99c", "你好 \U0001f99c"]
    assert [message.content for message in workers_client.requests[1].messages] == [
        "Hello",
        "Hello",
        "你好 \U0001f99c",
    ]
    assert notebook.problems == []


def test_it_sends_the_system_prompt_and_the_sampling(say, talk, workers_client):
    talk.system = "Be brief."
    say("Hello", sampling=Sampling(temperature=0.0, max_tokens=7))
    request = workers_client.requests[0]
    assert request.messages[0].content == "Be brief."
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.max_tokens) == (
        0.0,
        None,
        7,
    )
    assert request.report_task == ""


def test_it_leaves_at_exit_and_ignores_empty_lines(say, talk):
    notebook = say("", "   ", "!!exit", "never read")
    assert (notebook.answers, texts(talk)) == ([], [])
    assert notebook.lines == ["never read"]


def test_it_resets(say, talk):
    say("Hello", "!!reset", "Bye")
    assert texts(talk) == ["Bye", "Bye"]


def test_it_takes_the_last_turn_back_and_shows_the_rest(say, talk):
    notebook = say("one", "two", "!!remove")
    assert texts(talk) == ["one", "one"]
    assert notebook.replayed == ["one", "one"]


def test_it_asks_again(say, talk, workers_client):
    notebook = say("one", "!!regen")
    assert notebook.answers == ["one", "one"]
    assert texts(talk) == ["one", "one"]
    assert workers_client.requests[0].messages == workers_client.requests[1].messages


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("!!remove", "nothing to take back"),
        ("!!regen", "nothing to ask again"),
        ("!!save", "!!save FILE"),
        ("!!load", "!!load FILE"),
        ("!!load /no/such/file", "no such file"),
        ("!!foo bar", "!!foo is not a command; !!help lists them"),
    ],
)
def test_it_says_what_is_wrong_with_a_command_and_goes_on(say, line, problem):
    notebook = say(line, "Hello")
    assert problem in notebook.problems[0]
    assert notebook.answers == ["Hello"]


def test_it_helps_with_every_command(say):
    (text,) = say("!!help").notes
    assert all(command in text for command in COMMANDS)


def test_it_goes_on_with_a_saved_talk(say, talk, tmp_path):
    notebook = say("Hello", f"!!save {tmp_path}/my talk", "!!reset", f"!!load {tmp_path}/my talk", "Bye")
    assert notebook.replayed == ["Hello", "Hello"]
    assert (tmp_path / "my talk.json").exists()
    # `talk` is the one that was left behind; the loaded one went on.
    assert notebook.answers == ["Hello", "Bye"]


def test_it_takes_a_message_back_that_failed(say, talk, workers_client):
    workers_client.host_script("clumsy", "reply=one two three&fail_after=1")
    notebook = say("Hello", model="clumsy")
    assert notebook.answers == ["one"]
    assert texts(talk) == []
    assert notebook.problems == ["The scripted engine fails here on purpose. The message was taken back."]


def test_it_keeps_the_answer_that_could_not_be_made_again(say, talk, workers_client):
    say("Hello")
    workers_client.unhost("parrot")
    notebook = say("!!regen")
    assert texts(talk) == ["Hello", "Hello"]
    assert "No worker serves parrot" in notebook.problems[0]
    assert "bin/up" in notebook.problems[0]


def test_it_says_how_to_go_on_when_the_talk_is_too_long(say, talk, workers_client):
    workers_client.host_script("short", "context=3")
    (problem,) = say("one two three four", model="short").problems
    assert "!!reset" in problem


def test_it_says_that_an_answer_was_cut_off(say):
    notebook = say("one two three", sampling=Sampling(max_tokens=2))
    assert notebook.answers == ["one two"]
    assert "cut off" in notebook.notes[0]


def test_ctrl_c_stops_the_answer_at_the_worker_and_not_the_program(talk, workers_client):
    workers_client.host_script("parrot", "tokens=10000&rate=50")
    notebook = Notebook("Count", "!!remove")
    pressed = press_ctrl_c_once(lambda: "w1" in "".join(notebook.answers))
    outcome = interactive(talk, notebook).run()
    pressed.join()
    workers_client.wait_idle()  # the engine has stopped long before its ten thousand words
    assert notebook.answers[0].startswith("w0 w1")
    assert "(stopped)" in notebook.notes
    assert outcome.failures == 0
    assert texts(talk) == []  # !!remove found a turn to take back: what was said until the stop is kept
    assert notebook.problems == []


def test_ctrl_c_before_the_first_word_takes_the_message_back(talk, workers_client):
    workers_client.host_script("parrot", "first=600")
    pressed = press_ctrl_c_once(lambda: workers_client.requests)
    notebook = Notebook("Hello")
    interactive(talk, notebook).run()
    pressed.join()
    workers_client.wait_idle()
    assert texts(talk) == []
    assert notebook.notes == ["(stopped) The message was taken back."]


def test_ctrl_c_ends_a_pipes_run_and_stops_the_answer(talk, workers_client, request):
    # A shell that starts the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    class Impatient(Notebook):
        def answer(self, deltas):
            for _ in deltas:
                signal.raise_signal(signal.SIGINT)

    workers_client.host_script("parrot", "tokens=10000&rate=50")
    session = Session(
        chat_model="parrot", talk=talk, sampling=Sampling(), style=Impatient("Count"), interactive=False
    )
    with pytest.raises(KeyboardInterrupt):
        session.run()
    workers_client.wait_idle()
    assert texts(talk) == []


def test_a_reader_that_goes_away_stops_the_answer(talk, workers_client):
    class Closed(Notebook):
        def answer(self, deltas):
            for _ in deltas:
                raise BrokenPipeError

    workers_client.host_script("parrot", "tokens=10000&rate=50")
    session = Session(
        chat_model="parrot", talk=talk, sampling=Sampling(), style=Closed("Count"), interactive=False
    )
    with pytest.raises(BrokenPipeError):
        session.run()
    workers_client.wait_idle()


class Impatient(Notebook):
    """Ctrl-C at the prompt, for each ^C among the lines."""

    def read(self) -> str:
        line = super().read()
        if line == "^C":
            raise KeyboardInterrupt
        return line


def test_one_ctrl_c_at_the_prompt_explains_and_two_leave(talk, workers_client):
    notebook = Impatient("^C", "Hello")
    interactive(talk, notebook).run()
    assert "Ctrl-C again leaves" in notebook.notes[0]
    assert notebook.answers == ["Hello"]
    with pytest.raises(KeyboardInterrupt):
        interactive(talk, Impatient("^C", "^C", "never")).run()


def test_it_counts_what_did_not_work(talk, workers_client):
    session = Session(
        chat_model="nobody",
        talk=talk,
        sampling=Sampling(),
        style=Notebook("Hello", "!!foo"),
        interactive=False,
    )
    assert session.run().failures == 2


def test_it_says_that_the_broker_is_away_and_goes_on(say, talk, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    notebook = say("Hello")
    assert "The broker does not answer" in notebook.problems[0]
    assert texts(talk) == []


def test_every_failure_has_a_sentence():
    from workers.protocol import Failed
    from workers.terminal.asking import explain

    for code in ErrorCode:
        assert explain(Failed(code, "It did not work.")).startswith("It did not work.")


class Queue:
    """A source that lets wait, and answers then."""

    def start(self, request):
        """Nothing to hand over."""

    def follow(self, request):
        yield from (Waiting(3), Waiting(1), Waiting(1, loading=True))
        yield from (Started("w"), Delta("Hello"), Finished(FinishReason.STOP))

    def cancel(self, request):
        """Nothing to end."""


def test_it_says_the_place_in_the_queue_while_it_waits(talk):
    notebook = Notebook("Hi")

    Session(
        chat_model="any", talk=talk, sampling=Sampling(), style=notebook, interactive=False, source=Queue()
    ).run()

    assert notebook.waits == [
        "place 3 in the queue",
        "next in the queue",
        "next in the queue; the model is being loaded",
    ]
    assert (notebook.answers, notebook.notes, notebook.problems) == (["Hello"], [], [])
