"""One supervisor at a time in a data directory."""

import os
import signal
import subprocess
import sys

import pytest

from chatsite.supervisor.lock import AlreadyRunning, locked
from tests.supervisor.conftest import PATIENCE, ROOT

HOLDER = """
import sys, time
from pathlib import Path
from chatsite.supervisor.lock import locked
with locked(Path(sys.argv[1])) as descriptor:
    if sys.argv[2:]:
        import subprocess
        # It ends when the test does, or says so: at the end of its input.
        command = [sys.executable, '-c', 'import sys; sys.stdin.read()']
        subprocess.Popen(command, pass_fds=[descriptor], stdout=subprocess.DEVNULL)
    print('locked', flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    processes = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def test_it_refuses_a_second_one_and_names_the_first(tmp_path, holder):
    first = holder()

    refusal = rf"already runs in {tmp_path} \(process {first.pid}\).*--data DIR --port N"
    with pytest.raises(AlreadyRunning, match=refusal), locked(tmp_path):
        pass


def test_it_is_free_again_when_the_first_one_was_killed(tmp_path, holder):
    first = holder()
    first.send_signal(signal.SIGKILL)
    first.wait()

    with locked(tmp_path, patience=0):
        pass


def test_it_waits_for_what_a_killed_one_left_behind(tmp_path, holder):
    first = holder("with a child")
    first.send_signal(signal.SIGKILL)
    first.wait()
    waits: list[bool] = []

    def on_wait() -> None:
        waits.append(True)
        first.stdin.close()  # the child ends

    with locked(tmp_path, on_wait=on_wait, patience=PATIENCE):
        pass

    assert waits == [True]


def test_it_gives_up_when_what_is_left_behind_stays(tmp_path, holder):
    first = holder("with a child")
    first.send_signal(signal.SIGKILL)
    first.wait()

    with pytest.raises(AlreadyRunning), locked(tmp_path, patience=0.3):
        pass


def test_it_is_not_inherited_by_accident(tmp_path):
    with locked(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        with locked(tmp_path, patience=0):
            pass
    finally:
        child.kill()
        child.wait()


def test_it_takes_a_lock_file_with_nonsense_in_it(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "up.lock").write_text("no number")

    with locked(tmp_path):
        assert (tmp_path / "run" / "up.lock").read_text() == f"{os.getpid()}\n"
