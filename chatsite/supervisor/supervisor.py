"""Runs the children together: starts them in order, keeps them running, stops them in order."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import groupby
from pathlib import Path

from chatsite.supervisor.children import Backoff, Child, ChildSpec
from chatsite.supervisor.console import Console
from chatsite.supervisor.logs import BoundedLog, Output
from chatsite.supervisor.watching import Watchdog

READ_LOGS_EVERY = 0.2  # seconds
# A child that others wait for, and that died this often without having been ready once, will not get better.
HOPELESS = 3
STILL_WAITING_EVERY = 20.0  # seconds

Probe = Callable[[], str]
"""Asks whether the site can answer: "" when it can, else what is missing. Runs in a thread; must end within seconds."""


class StartFailed(Exception):  # noqa: N818 - reads as what happened
    """A child that all others need cannot be started."""


class Supervisor:
    """The children of one `manage.py up`. Owns the process's signal handlers while it runs."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        log_folder: Path,
        console: Console,
        probe: Probe | None = None,
        on_ready: Callable[[], None] = lambda: None,
        kept_open: tuple[int, ...] = (),
        new_backoff: Callable[[], Backoff] = Backoff,
    ):
        """`kept_open`: descriptors that stay open until the last child is gone, however the supervisor ends."""
        self._specs = sorted(specs, key=lambda spec: -spec.stage)
        self._log_folder = log_folder
        self._console = console
        self._probe = probe
        self._on_ready = on_ready
        self._kept_open = kept_open
        self._new_backoff = new_backoff
        self._children: list[Child] = []

    def run(self) -> int:
        """Run until a stop signal; the exit status."""
        return asyncio.run(self._run())

    async def _run(self) -> int:
        self._asked_to_stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._log_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._watchdog = Watchdog(log=self._log_folder / "watchdog.log", pass_fds=self._kept_open)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        # The terminal was closed. Under nohup it is ignored, and stays so.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._on_stop_signal, signal.SIGHUP)
        outputs = [self._output_of(spec) for spec in self._specs]
        self._children = [
            Child(
                spec,
                output=output,
                console=self._console,
                watchdog=self._watchdog,
                backoff=self._new_backoff(),
            )
            for spec, output in zip(self._specs, outputs, strict=True)
        ]
        reading = self._start(self._read(outputs))
        running: list[asyncio.Task[None]] = []
        announcement = None
        self._status = 0
        try:
            await self._start_in_order(running)
            if self._probe and not self._asked_to_stop.is_set():
                announcement = self._start(self._announce(self._probe))
            await self._asked_to_stop.wait()
        except StartFailed as error:
            self._console.error(str(error))
            self._status = 1
        finally:
            if announcement:
                announcement.cancel()
            await self._stop_in_order()
            await asyncio.gather(*running, return_exceptions=True)
            reading.cancel()
            loop.remove_signal_handler(
                signal.SIGCHLD
            )  # the watchdog's end is no reason to start another one now
            self._watchdog.close()
            for output in outputs:
                output.close()
        return self._status

    async def _start_in_order(self, running: list[asyncio.Task[None]]) -> None:
        for _, stage in groupby(self._children, key=lambda child: child.spec.stage):
            for child in (members := list(stage)):
                running.append(self._start(child.keep_running()))
            for child in members:
                await self._until_ready(child)
            if self._asked_to_stop.is_set():
                return

    async def _until_ready(self, child: Child) -> None:
        ready = child.spec.ready
        while ready and not self._asked_to_stop.is_set():
            if await asyncio.to_thread(ready):
                return
            if child.died_before(HOPELESS):
                raise StartFailed(
                    f"{child.spec.name} does not start; its log is {self._log_folder / child.spec.name}.log"
                )
            await asyncio.sleep(0.05)

    async def _announce(self, probe: Probe) -> None:
        said_at = time.monotonic()
        while missing := await asyncio.to_thread(probe):
            if time.monotonic() - said_at >= STILL_WAITING_EVERY:
                said_at = time.monotonic()
                self._console.notice(f"Not ready yet: {missing} (logs: {self._log_folder})")
            await asyncio.sleep(0.1)
        self._on_ready()

    async def _read(self, outputs: Sequence[Output]) -> None:
        while True:
            for output in outputs:
                output.read()
            await asyncio.sleep(READ_LOGS_EVERY)

    async def _stop_in_order(self) -> None:
        for child in self._children:
            child.forbid_restart()
        for _, stage in groupby(reversed(self._children), key=lambda child: child.spec.stage):
            await asyncio.gather(*(child.stop(self._hurry) for child in stage))

    def _on_stop_signal(self, number: signal.Signals) -> None:
        if self._asked_to_stop.is_set():
            self._console.step("Stopping at once")
            self._hurry.set()
            return
        self._console.step(f"Stopping ({number.name}); once more to hurry")
        self._asked_to_stop.set()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        # A mistake of ours. A site that nobody watches any more must not seem to run well.
        if not task.cancelled() and (error := task.exception()):
            self._console.error(f"the supervisor itself failed: {error!r}")
            self._status = 1
            self._asked_to_stop.set()

    def _reap(self) -> None:
        for child in self._children:
            child.reap()
        self._watchdog.reap()

    def _output_of(self, spec: ChildSpec) -> Output:
        def echo(line: str) -> None:
            self._console.child(spec.name, line)

        return Output(BoundedLog(self._log_folder / f"{spec.name}.log"), echo if spec.echo else None)
