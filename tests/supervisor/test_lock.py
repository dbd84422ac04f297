"""One supervisor at a time in a data directory."""

import os
import signal
import subprocess
import sys
import time

import pytest

from chatsite.supervisor.lock import AlreadyRunning, locked
from tests.supervisor.conftest import ROOT, until

HOLDER = """
import sys, time
from pathlib import Path
from chatsite.supervisor.lock import locked
with locked(Path(sys.argv[1])) as descriptor:
    if sys.argv[2:]:
        import subprocess
        command = [sys.executable, '-c', f'import time; time.sleep({sys.argv[2]})']
        subprocess.Popen(command, pass_fds=[descriptor], stdout=subprocess.DEVNULL)
    print('locked', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    processes = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), *arguments], cwd=ROOT, stdout=subprocess.PIPE
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


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
    first = holder("1.0")
    first.send_signal(signal.SIGKILL)
    first.wait()
    waits: list[bool] = []
    began = time.monotonic()

    with locked(tmp_path, on_wait=lambda: waits.append(True), patience=20):
        took = time.monotonic() - began

    assert waits == [True]
    assert 0.3 < took < 15


def test_it_gives_up_when_what_is_left_behind_stays(tmp_path, holder):
    first = holder("5")
    first.send_signal(signal.SIGKILL)
    first.wait()

    with pytest.raises(AlreadyRunning), locked(tmp_path, patience=0.3):
        pass


def test_it_is_not_inherited_by_accident(tmp_path):
    with locked(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
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
        assert until(lambda: (tmp_path / "run" / "up.lock").read_text()) == f"{os.getpid()}\n"
