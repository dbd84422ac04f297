"""The life of a worker process: load, sign on, beat, listen for cancellations, drain, sign off."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
from celery.signals import worker_ready, worker_shutting_down

import chatsite
from workers import consumer, fleet, ledger, standstill
from workers.broker import BrokerClient, queue_name
from workers.connections import UNREACHABLE, broker
from workers.engines import registry
from workers.engines.base import EngineError
from workers.host import EngineHost
from workers.priority import ENGINE_NICE, session_steps_back
from workers.protocol import WorkerStatus
from workers.reports import rescuer, send_report
from workers.steward import Family, Steward, load_family

logger = logging.getLogger(__name__)

NO_QUEUE = queue_name("")
"""Nobody sends there."""

_host: EngineHost | None = None


def host() -> EngineHost:
    """The process's engine host. Only a process that `run_worker` started has one."""
    if _host is None:
        raise RuntimeError("This process is not a model worker: start one with `manage.py worker`.")
    return _host


def install(new_host: EngineHost | None) -> None:
    """Make `new_host` the process's host; None takes it away."""
    global _host
    _host = new_host


def run_worker(specs: Sequence[registry.EngineSpec], *, name: str = "", idle_seconds: float = 0.0) -> None:
    """Load `specs`, serve their queues until SIGTERM or SIGINT, then drain. Blocks; call it from the main thread.

    Without any `specs` the worker waits for orders. What nobody has asked for in `idle_seconds` sleeps until somebody
    does; 0 lets nothing sleep. Raises `EngineError` when something cannot be loaded.
    """
    worker = name or f"{specs[0].name if specs else 'worker'}@{socket.gethostname()}-{os.getpid()}"
    session_steps_back(ENGINE_NICE)
    families = _load(specs)
    client = broker()
    engine_host = EngineHost(
        worker=worker,
        engines={name: engine for family in families for name, engine in family.engines.items()},
        client=client,
        report=send_report,
        hand_over=lambda request_id: rescuer().hand_over(request_id, by=worker),
        put_back=BrokerClient().publish,
    )
    install(engine_host)
    pulse = Pulse(engine_host, started_at=time.time())
    steward = Steward(
        engine_host, families, client=client, idle_seconds=idle_seconds, on_change=pulse.beat_soon
    )
    standstill.bear_with(pulse.silent)
    try:
        _consume(engine_host, pulse, steward)
    finally:
        standstill.bear_with(None)
        steward.stop()
        pulse.stop()
        engine_host.drain()
        engine_host.close()
        install(None)


def _load(specs: Sequence[registry.EngineSpec]) -> list[Family]:
    """Those that were loaded are freed again when one cannot be."""
    names = [name for spec in specs for name in registry.names_of(spec)]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise EngineError(f"{twice} would be served twice by this worker; give one of the two another name.")
    loaded: list[Family] = []
    try:
        for spec in specs:
            loaded.append(load_family(spec))  # noqa: PERF401 - what is there must be known when the next one fails
    except BaseException:
        for family in loaded:
            registry.base_of(next(iter(family.engines.values()))).close()
        raise
    return loaded


def _consume(engine_host: EngineHost, pulse: "Pulse", steward: Steward) -> None:
    """Run the Celery consumer of the host's queues until the process is told to stop."""

    # Celery takes "no queue" for "all queues", and no slots for as many as there are cores.
    slots = {queue_name(model.name): model.slots for model in engine_host.hosted} or {NO_QUEUE: 1}

    @worker_ready.connect(weak=False)
    def on_ready(sender: object, **kwargs: object) -> None:
        pulse.start()
        steward.start(consumer.Taps(sender, slots))
        logger.info(
            "%s is ready: %s.",
            engine_host.worker,
            ", ".join(model.name for model in engine_host.hosted) or "it waits for orders",
        )

    @worker_shutting_down.connect(weak=False)
    def on_stop(**kwargs: object) -> None:
        # From a signal handler: Celery then waits for the running tasks, which end within one step. In a thread,
        # since the handler may have interrupted somebody who holds the host's lock.
        engine_host.draining = True
        pulse.beat_soon()
        threading.Thread(target=engine_host.drain, name="drain").start()

    consumer.start(
        hostname=engine_host.worker,
        queues=list(slots),
        concurrency=sum(slots.values()),
        # A message only says that something is in the ledger, and one that is lost is noticed there within seconds.
        keep_taken=False,
    )


class Pulse:
    """Two threads beside the consumer: the heartbeat, and the listener for cancellations."""

    def __init__(self, engine_host: EngineHost, *, started_at: float):
        self._host = engine_host
        self._started_at = started_at
        self._stopped = threading.Event()
        self._beat_now = threading.Event()
        self._process = psutil.Process()
        self._silences: list[float] = []
        """Seconds that this process may be silent for, of each call that is announced."""
        self._threads = [
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self._listen, name="cancellations", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            if not thread.is_alive():
                thread.start()

    def beat_soon(self) -> None:
        self._beat_now.set()

    @contextmanager
    def silent(self, seconds: float) -> Iterator[None]:
        """The process may have no time to beat in here for up to `seconds`: it counts as alive for so long."""
        self._silences.append(seconds)
        self._once("heartbeat", self._beat_once, complain=True)
        try:
            yield
        finally:
            self._silences.remove(seconds)
            self.beat_soon()

    def stop(self) -> None:
        self._stopped.set()
        self._beat_now.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(3)
        try:
            fleet.sign_off(broker(), self._host.worker)
        except UNREACHABLE:
            logger.warning("The broker is away; this worker's last heartbeat expires by itself.")

    def status(self) -> WorkerStatus:
        return WorkerStatus(
            worker=self._host.worker,
            models=self._host.hosted,
            version=chatsite.__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            sent_at=time.time(),
            in_flight=len(self._host.in_flight),
            tokens_per_second=round(self._host.tokens_per_second, 1),
            memory_bytes=self._process.memory_info().rss,
            draining=self._host.draining,
        )

    def _beat(self) -> None:
        well = True
        while not self._stopped.is_set():
            well = self._once("heartbeat", self._beat_once, complain=well)
            well = self._once("check", self._host.check_wanted, complain=well) and well
            self._beat_now.wait(fleet.INTERVAL_SECONDS)
            self._beat_now.clear()

    def _beat_once(self) -> None:
        fleet.beat(broker(), self.status(), lasts=fleet.EXPIRY_SECONDS + max(self._silences, default=0.0))

    def _listen(self) -> None:
        well = True
        while not self._stopped.is_set():
            well = self._once("listener", self._stop_what_is_cancelled, complain=well)
            if not well:
                self._stopped.wait(0.5)

    def _stop_what_is_cancelled(self) -> None:
        with broker().pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(ledger.CANCELLATIONS)
            while not self._stopped.is_set():
                message = subscription.get_message(timeout=1.0)
                if message:
                    self._host.stop(message["data"].decode())

    def _once(self, what: str, act: Callable[[], None], *, complain: bool) -> bool:
        """Whether `act` went well. Whatever goes wrong, the thread lives on: without it the worker counts as dead."""
        try:
            act()
        except Exception as error:
            if complain:
                logger.warning("The worker's %s failed (%s); trying again.", what, type(error).__name__)
            return False
        return True
