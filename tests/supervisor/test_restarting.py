"""A child that dies comes back, and the console says why it died."""

import os
import signal

import pytest

from chatsite.supervisor.children import Backoff, describe_end
from tests.supervisor.conftest import SLEEP, Stack, until


def test_it_starts_a_dead_child_again(stack: Stack):
    stack.add("one")
    stack.start()
    first = stack.pid_of("one")

    os.kill(first, signal.SIGKILL)

    assert stack.pid_of("one", 1) != first
    assert (
        "one was killed by SIGKILL (by somebody, or by the system because memory ran out); restarting in 0.05 s"
        in (stack.said())
    )


def test_it_says_the_exit_code_and_the_last_lines(stack: Stack):
    stack.add("one", "print('loading'); print('no weights at /nowhere', file=sys.stderr); sys.exit(3)")
    stack.start()

    until(
        lambda: (
            "one ended with exit code 3; restarting in 0.05 s\none | loading\none | no weights at /nowhere"
            in stack.said()
        )
    )

    assert "no weights at /nowhere\n--- " in stack.log("one")
    assert "ended with exit code 3" in stack.log("one")


def test_it_tells_the_same_death_only_once_but_counts_it(stack: Stack):
    stack.add("one", "print('no weights'); sys.exit(3)")
    stack.start()

    until(lambda: "restarting in 0.2 s" in stack.said())

    assert stack.said().count("| no weights") == 1


def test_it_doubles_the_pause_up_to_the_longest():
    backoff = Backoff(first=0.5, longest=4)

    assert [backoff.pause_after(lived=0.1) for _ in range(5)] == [0.5, 1, 2, 4, 4]


def test_it_forgets_old_deaths_once_the_child_lived_for_a_while():
    backoff = Backoff(first=0.5, settled_after=20)
    pauses = [backoff.pause_after(lived=lived) for lived in (1, 1, 25, 1)]

    assert pauses == [0.5, 1, 0.5, 1]


def test_it_survives_a_thousand_deaths():
    backoff = Backoff(longest=30)

    assert {backoff.pause_after(lived=0) for _ in range(1000)} >= {30.0}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended by itself (exit code 0)"),
        (1, "ended with exit code 1"),
        (-signal.SIGTERM, "was killed by SIGTERM"),
        (-signal.SIGSEGV, "was killed by SIGSEGV (a crash in native code)"),
        (-250, "was killed by signal 250"),
    ],
)
def test_it_says_how_a_process_ended(code: int, words: str):
    assert describe_end(code) == words


def test_it_goes_on_when_a_program_cannot_be_started(stack: Stack):
    stack.add("one")
    stack.specs.append("ChildSpec(name='absent', command=('/no/such/program',), stage=Stage.WEB)")
    stack.start()

    stack.pid_of("one")

    until(lambda: "absent could not be started: No such file or directory (/no/such/program)" in stack.said())


def test_it_gives_up_when_the_first_child_dies_again_and_again(stack: Stack):
    stack.add("broker", "sys.exit('port taken')", stage="BROKER", more="ready=lambda: False")
    stack.add("model")
    stack.start()

    assert stack.wait() == 1
    assert f"broker does not start; its log is {stack.folder}/log/broker.log" in stack.said()
    assert "broker | port taken" in stack.said()
    assert not stack.events("started", "model")


def test_it_announces_readiness_once_the_probe_has_nothing_to_miss(stack: Stack):
    stack.add("one")
    stack.start(
        prelude="answers = iter(['no worker', 'no worker', ''])",
        more="probe=lambda: next(answers), on_ready=lambda: print('Ready: here', flush=True)",
    )

    until(lambda: "Ready: here" in stack.said())


def test_it_shows_warnings_of_a_child_under_its_name(stack: Stack):
    stack.add("one", f"print('2026-11-24 06:44:00,123 WARNING arena: slow down', file=sys.stderr)\n{SLEEP}")
    stack.start()

    until(lambda: "one | 2026-11-24 06:44:00,123 WARNING arena: slow down" in stack.said())


def test_it_is_not_held_up_by_a_child_that_floods_its_output(stack: Stack):
    stack.add("flood", "while True: os.write(1, b'x' * 65536)")
    stack.add("quiet")
    stack.start()
    stack.pid_of("quiet")

    stack.signal()

    assert stack.wait() == 0
