"""`transformers serve` with continuous batching, as a child on the same weights: a peer of the transformers engine.

It needs fastapi and uvicorn beside transformers, which nothing else here does; `--peer-python` names another Python.
"""

import asyncio
import importlib.util
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from workers.benchmarks.load import Stream, closed_loop, complete
from workers.benchmarks.stack import free_port

READY_SECONDS = 180
# Of the measured baselines; with the defaults it takes all of the memory for K/V.
SETTINGS = (
    "--continuous-batching",
    "--cb-num-blocks",
    "256",
    "--cb-max-batch-tokens",
    "512",
    "--device",
    "cpu",
)
START = "from transformers.cli.transformers import main; main()"


def usable(python: str) -> bool:
    if python != sys.executable:
        return True
    return all(importlib.util.find_spec(package) for package in ("fastapi", "uvicorn"))


class Serving:
    """A server that answers."""

    def __init__(self, url: str, checkpoint: str, process: psutil.Process):
        self._url, self._checkpoint, self._process = url, checkpoint, process

    def ask(self, prompts: list[str], tokens: int) -> tuple[int, float, float, list[float]]:
        """All at once: tokens, seconds, processor seconds of the server, seconds to each first token."""

        async def one(prompt: str) -> Stream:
            body: dict[str, object] = {
                "model": self._checkpoint,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": tokens,
                "temperature": 0,
                "stream": True,
            }
            return await complete(f"{self._url}/v1/chat/completions", "none", body)

        spent = self._spent()
        streams, seconds = asyncio.run(closed_loop(prompts, len(prompts), one))
        for stream in streams:  # it ends without OpenAI's last line
            if not stream.arrivals or (stream.error and not stream.error.startswith("cut")):
                raise RuntimeError(f"transformers serve: {stream.error or 'no answer'}")
        said = sum(stream.tokens or len(stream.arrivals) for stream in streams)
        firsts = [stream.first for stream in streams if stream.first is not None]
        return said, seconds, self._spent() - spent, firsts

    def _spent(self) -> float:
        found = [self._process, *self._process.children(recursive=True)]
        return sum(times.user + times.system for times in (process.cpu_times() for process in found))


@contextmanager
def serving(checkpoint: str, *, python: str, threads: int) -> Iterator[Serving]:
    port = free_port()
    command = [python, "-c", START, "serve", checkpoint, *SETTINGS, "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            # Without the engine's own setting, which children inherit.
            [
                "/usr/bin/env",
                "-u",
                "GOMP_SPINCOUNT",
                f"OMP_NUM_THREADS={threads}",
                "HF_HUB_OFFLINE=1",
                *command,
            ],
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + READY_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise RuntimeError(
                        f"transformers serve did not start: {log.read().decode(errors='replace')[-500:]}"
                    )
                time.sleep(0.2)
            yield Serving(url, checkpoint, psutil.Process(process.pid))
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v1/models", timeout=5) as response:  # noqa: S310 - our own child
            return int(response.status) == 200
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
