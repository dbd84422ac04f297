"""Nothing is left running, however the end comes."""

import os
import signal
import time

import pytest

from tests.supervisor.conftest import PATIENCE, SLEEP, Stack, alive, until

IGNORE_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN); tell('deaf')"
WITH_GRANDCHILD = """
grandchild = subprocess.Popen(
    [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]
)
os.write(os.open(EVENTS, os.O_WRONLY | os.O_APPEND), f"grandchild {NAME} {grandchild.pid}\\n".encode())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stops_every_child_and_ends_with_status_0(stack: Stack, number: signal.Signals):
    stack.add("one")
    stack.add("two", stage="BROKER")
    stack.start()
    pids = [stack.pid_of("one"), stack.pid_of("two")]

    stack.signal(number)

    assert stack.wait() == 0
    assert not any(alive(pid) for pid in pids)
    assert len(stack.events("stopped")) == 2


def test_it_stops_model_workers_first_and_the_broker_last(stack: Stack):
    slow_to_stop = (
        "signal.signal(signal.SIGTERM, lambda *a: (time.sleep(0.3), on_term(*a))); tell('slow')\n" + SLEEP
    )
    for name, stage in (("web", "WEB"), ("broker", "BROKER"), ("model", "MODELS"), ("control", "CONTROL")):
        stack.add(name, slow_to_stop, stage=stage)
    stack.start()
    until(lambda: len(stack.events("slow")) == 4)

    stack.signal()
    stack.wait()

    assert [name for _, name, _ in stack.events("stopped")] == ["model", "web", "control", "broker"]


def test_it_starts_the_broker_first_and_waits_until_it_answers(stack: Stack):
    marker = stack.folder / "answers"
    stack.add(
        "broker",
        f"time.sleep(0.4); open({str(marker)!r}, 'w').close()\n{SLEEP}",
        stage="BROKER",
        more=f"ready=Path({str(marker)!r}).exists",
    )
    stack.add("model", f"tell('saw-marker' if os.path.exists({str(marker)!r}) else 'too-early')\n{SLEEP}")
    stack.start()

    stack.pid_of("model")

    until(lambda: stack.events("saw-marker", "model"))


def test_it_kills_a_child_that_ignores_sigterm_with_its_grandchildren(stack: Stack):
    stack.add("deaf", f"{WITH_GRANDCHILD}\n{IGNORE_SIGTERM}\n{SLEEP}", stop_seconds=0.5)
    stack.start()
    until(lambda: stack.events("deaf"))
    pids = [stack.pid_of("deaf"), stack.events("grandchild")[0][2]]

    stack.signal()

    assert stack.wait() == 0
    until(lambda: not any(alive(pid) for pid in pids))
    assert "deaf did not end within 0.5 s after SIGTERM and is killed" in stack.said()


def test_it_hurries_when_it_is_asked_twice(stack: Stack):
    stack.add("deaf", f"{IGNORE_SIGTERM}\n{SLEEP}", stop_seconds=10 * PATIENCE)
    stack.start()
    until(lambda: stack.events("deaf"))

    stack.signal()
    until(lambda: "Stopping (SIGTERM)" in stack.said())
    stack.signal(signal.SIGINT)

    assert stack.wait() == 0
    assert not alive(stack.pid_of("deaf"))


def test_it_leaves_nothing_when_it_is_killed_with_signal_9(stack: Stack):
    stack.add("polite")
    stack.add("deaf", f"{WITH_GRANDCHILD}\n{IGNORE_SIGTERM}\n{SLEEP}", stop_seconds=0.5)
    stack.add("broker", stage="BROKER")
    stack.start()
    until(lambda: stack.events("deaf"))
    pids = [stack.pid_of(name) for name in ("polite", "deaf", "broker")] + [stack.events("grandchild")[0][2]]
    stack.until_it_rests()

    stack.signal(signal.SIGKILL)

    until(lambda: not any(alive(pid) for pid in pids))
    assert [name for _, name, _ in stack.events("stopped")] == ["polite", "broker"], "the order of stopping"


def test_it_leaves_nothing_when_watchdog_and_supervisor_are_killed_one_after_the_other(stack: Stack):
    stack.add("polite")
    stack.start()
    child = stack.pid_of("polite")
    first = until(stack.watchdog_pid)
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive(first) and stack.watchdog_pid() not in (0, first))
    stack.until_it_rests()

    stack.signal(signal.SIGKILL)

    until(lambda: not alive(child))


def test_it_kills_what_a_dead_child_left_behind(stack: Stack):
    stack.add("parent", f"{WITH_GRANDCHILD}\n{SLEEP}")
    stack.start()
    grandchild = until(lambda: stack.events("grandchild"))[0][2]

    os.kill(stack.pid_of("parent"), signal.SIGKILL)

    until(lambda: not alive(grandchild))


def test_it_stops_while_a_child_waits_for_its_restart(stack: Stack):
    stack.add("dying", "sys.exit(3)")
    stack.start(backoff="Backoff(first=7200, longest=7200)")
    until(lambda: "restarting in 7200 s" in stack.said())

    stack.signal()

    assert stack.wait() == 0
    assert len(stack.events("started")) == 1


def test_it_stops_while_it_waits_for_the_first_child(stack: Stack):
    stack.add("broker", stage="BROKER", more="ready=lambda: False")
    stack.add("model")
    stack.start()
    stack.pid_of("broker")

    stack.signal()

    assert stack.wait() == 0
    assert not stack.events("started", "model")


def test_it_keeps_running_under_nohup(stack: Stack):
    stack.add("one")
    stack.start(prelude="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    child = stack.pid_of("one")

    stack.signal(signal.SIGHUP)
    time.sleep(0.5)

    assert alive(stack.pid)
    assert alive(child)


def test_a_child_can_still_speak_when_the_supervisor_was_killed(stack: Stack):
    """Celery writes a line when it is told to stop, and goes on running when that fails."""
    talkative = (
        "signal.signal(signal.SIGTERM, lambda *a: (os.write(2, b'shutting down\\n'), on_term(*a)))\n"
        "tell('talkative')\n" + SLEEP
    )
    stack.add("talkative", talkative, stop_seconds=30)
    stack.start()
    child = until(lambda: stack.events("talkative"))[0][2]
    stack.until_it_rests()

    stack.signal(signal.SIGKILL)

    until(lambda: not alive(child))
    assert stack.log("talkative") == "shutting down\n"


def test_it_stops_on_a_signal_that_its_shell_had_ignored(stack: Stack):
    """A shell without job control starts `bin/up &` with SIGINT ignored."""
    stack.add("one")
    stack.start(prelude="import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    stack.pid_of("one")

    stack.signal(signal.SIGINT)

    assert stack.wait() == 0


def test_it_stops_everything_when_it_has_a_mistake_of_its_own(stack: Stack):
    stack.add("one")
    stack.start(more="probe=lambda: 1 / 0")

    assert stack.wait() == 1
    assert "the supervisor itself failed: ZeroDivisionError" in stack.said()
    assert not any(alive(pid) for _, _, pid in stack.events("started"))


def test_it_leaves_no_watchdog_behind(stack: Stack):
    stack.add("one")
    stack.start()
    stack.pid_of("one")
    watchdog = until(stack.watchdog_pid)

    stack.signal()
    stack.wait()

    assert not alive(watchdog)
