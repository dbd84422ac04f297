"""Times what a newcomer waits for: a clean clone to `Ready`, then a second start; and weighs the idle stack.

    python tests/benchmarks/clean_clone.py [--keep FOLDER]

It needs nothing installed (psutil comes with the clone). The clone installs from the package index with pip's cache as
it is, so run it twice for the figure with a warm cache.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {"clean clone to Ready": 90.0, "second start": 10.0}
MEMORY_LIMIT_MIB = 1024
GIVE_UP_SECONDS = 600


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(clone: Path) -> tuple[subprocess.Popen[str], float]:
    """Run bin/up until it is ready; (process, seconds)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CHATSITE_", "VIRTUAL_ENV"))}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "bin/up", "--port", str(free_port())],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        print("   ", line, end="")
        if line.startswith("Ready:"):
            return process, time.monotonic() - began
        if time.monotonic() - began > GIVE_UP_SECONDS:
            break
    process.kill()
    raise SystemExit("bin/up did not become ready")


def stop(process: subprocess.Popen[str]) -> float:
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    return time.monotonic() - began


def memory_mib(clone: Path, pid: int) -> dict[str, float]:
    """Proportional and resident set sizes, summed over the stack's processes."""
    script = (
        "import psutil, sys\n"
        "top = psutil.Process(int(sys.argv[1]))\n"
        "sizes = [p.memory_full_info() for p in [top, *top.children(recursive=True)]]\n"
        "print(sum(s.rss for s in sizes), sum(s.pss for s in sizes))"
    )
    output = subprocess.check_output([clone / ".venv" / "bin" / "python", "-c", script, str(pid)], text=True)
    resident, proportional = (int(value) / 2**20 for value in output.split())
    return {"resident": resident, "proportional": proportional}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--keep", type=Path, help="clone into this folder and leave it there")
    folder = parser.parse_args().keep or Path(tempfile.mkdtemp(prefix="chatsite-clone-"))
    clone = folder / "chatsite"
    try:
        subprocess.check_call(["git", "clone", "--quiet", ROOT, clone])
        figures = {}
        process, figures["clean clone to Ready"] = start(clone)
        time.sleep(5)
        memory = memory_mib(clone, process.pid)
        stopped = stop(process)
        process, figures["second start"] = start(clone)
        stop(process)
        for name, seconds in figures.items():
            print(f"{name}: {seconds:.1f} s, {seconds / LIMITS[name]:.2f} of the limit of {LIMITS[name]:g} s")
        print(f"stop: {stopped:.1f} s")
        for name, size in memory.items():
            print(f"idle memory, {name}: {size:.0f} MiB, {size / MEMORY_LIMIT_MIB:.2f} of the limit of 1 GiB")
    finally:
        if not parser.parse_args().keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
