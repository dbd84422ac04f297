"""Carries out orders in a worker process: loads chat models and gives them up while the others are served.

Also lays down what nobody has asked for in a while, and wakes it for the next request. One thing at a time, in one
thread; the host goes on answering meanwhile.
"""

import ctypes
import gc
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import psutil
import redis

from workers import fleet, orders
from workers.broker import queue_key, queue_name
from workers.connections import UNREACHABLE
from workers.engine_settings import read_options
from workers.engines import registry
from workers.engines.base import Engine, EngineError
from workers.engines.registry import EngineSpec
from workers.host import EngineHost
from workers.protocol import Order, OrderState, Weights

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
RETRY_SECONDS = 1.0
# How long running requests may go on when their chat model is given up; then they are handed to another worker.
DRAIN_SECONDS = 60.0
# How long a request takes at most to end once it was told to.
STOP_SECONDS = 30.0
# How long the news of an order waits for a broker that is away.
TELL_SECONDS = 120.0
# While a worker wakes a chat model, the others that let it sleep do not. Renewed by nobody: a load that takes longer
# is perhaps doubled, and does no harm.
WAKING_SECONDS = 120


class Queues(Protocol):
    """What `workers.consumer.Taps` can do."""

    def open(self, queue: str, slots: int) -> None: ...
    def close(self, queue: str) -> None: ...


@dataclass(eq=False)
class Family:
    """Chat models over the same weights: a base, its adapters, or one alone. They sleep and wake together."""

    spec: EngineSpec
    engines: dict[str, Engine] = field(default_factory=dict)
    """In memory; empty while they sleep."""

    @property
    def names(self) -> list[str]:
        return registry.names_of(self.spec)


def load_family(spec: EngineSpec) -> Family:
    """Raises `EngineError`. What was loaded knows how long that took and by how much the process grew."""
    process = psutil.Process()
    began, before = time.monotonic(), process.memory_info().rss
    engines = registry.load_all(spec)
    seconds, grown = time.monotonic() - began, max(0, process.memory_info().rss - before)
    first = next(iter(engines.values()))
    base = registry.base_of(first).hosted
    first.hosted = replace(
        first.hosted,
        load_seconds=base.load_seconds or max(0.01, round(seconds, 2)),
        weights_bytes=base.weights_bytes,
        memory_bytes=grown,
    )
    for engine in engines.values():
        engine.hosted = replace(engine.hosted, checkpoint=spec.checkpoint)
    logger.info("%s is loaded (%s, %.1f s).", spec.name, spec.engine, seconds)
    return Family(spec, engines)


def spec_of(chat_model: str, weights: Weights) -> EngineSpec:
    """Raises `EngineError` for options that mean nothing."""
    try:
        options = json.loads(weights.engine_options)
    except ValueError:
        raise EngineError("The engine options are no JSON.") from None
    return EngineSpec(
        name=chat_model,
        engine=weights.engine,
        checkpoint=weights.checkpoint,
        slots=weights.slots,
        context_length=weights.context_length,
        template=weights.template,
        **dict[str, Any](read_options(weights.engine, options)),
    )


class Steward:
    """Looks after what `host` serves. `start` once the consumer runs, `stop` before the host is closed."""

    def __init__(
        self,
        host: EngineHost,
        families: list[Family],
        *,
        client: redis.Redis,
        idle_seconds: float = 0.0,
        on_change: Callable[[], None] = lambda: None,
    ):
        """`idle_seconds` 0 lets nothing sleep. `on_change` is called when others should hear what is served now."""
        self._host = host
        self._families = families
        self._client = client
        self._idle_seconds = idle_seconds
        self._on_change = on_change
        self._queues: Queues | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steward", daemon=True)

    def start(self, queues: Queues) -> None:
        self._queues = queues
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new. A load that runs is not waited for: it may take minutes, and its process ends."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(3)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                if order := orders.take(self._client, self._host.worker, seconds=TICK_SECONDS):
                    self.carry_out(order)
                self.look_after_sleepers()
            except UNREACHABLE:
                self._stopped.wait(RETRY_SECONDS)
            except Exception as error:  # without this thread the worker obeys nobody
                logger.error("The steward stumbled (%s) and goes on.", type(error).__name__)
                self._stopped.wait(RETRY_SECONDS)

    def carry_out(self, order: Order) -> None:
        """Do what the order says, and tell how it went. Never raises for what is wrong with a chat model."""
        try:
            if order.weights is None:
                self._unload(order)
            else:
                self._load(order, spec_of(order.chat_model, order.weights))
        except EngineError as error:
            self._tell(order, OrderState.FAILED, str(error))
        except UNREACHABLE:
            raise
        except Exception as error:
            logger.exception("Order %s for %s failed.", order.id, order.chat_model)
            message = (
                f"{order.chat_model}: it went wrong ({type(error).__name__}). The worker's log says more."
            )
            self._tell(order, OrderState.FAILED, message)

    def _tell(self, order: Order, state: OrderState, message: str = "") -> Order:
        """Whoever has given the order waits for this, so a broker that is away for a moment is waited for."""
        until = time.monotonic() + TELL_SECONDS
        while True:
            try:
                return orders.tell(self._client, order, state, message)
            except UNREACHABLE:
                if self._stopped.wait(RETRY_SECONDS) or time.monotonic() > until:
                    raise

    # --- loading ---------------------------------------------------------------------------------------------------

    def _load(self, order: Order, spec: EngineSpec) -> None:
        order = self._tell(order, OrderState.LOADING)
        if self._host.draining:
            raise EngineError(f"{self._host.worker} is being stopped. Choose another worker.")
        asleep = self._family_of(spec.name)
        if asleep is not None and not asleep.engines:
            self._wake(asleep)
        elif known := next((name for name in registry.names_of(spec) if self._family_of(name)), ""):
            raise EngineError(f"{known} is loaded by {self._host.worker} already. Unload it first.")
        elif there := self._family_over_the_same_weights(spec):
            self._adapt(there, spec)
        else:
            family = load_family(spec)
            self._families.append(family)
            self._serve(family.engines)
        self._tell(order, OrderState.READY, self._how_it_went(spec.name))

    def _how_it_went(self, name: str) -> str:
        seconds = self._host.engines[name].hosted.load_seconds
        return f"{name} is loaded by {self._host.worker} ({seconds:.1f} s)."

    def _family_over_the_same_weights(self, spec: EngineSpec) -> Family | None:
        return next((one for one in self._families if registry.can_share(one.spec, spec)), None)

    def _adapt(self, family: Family, spec: EngineSpec) -> None:
        """Add the spec's adapter to weights that are there (or sleep)."""
        if not family.engines:
            self._wake(family)
        base: Any = registry.base_of(next(iter(family.engines.values())))  # of transformers: see `can_share`
        began = time.monotonic()
        added: Engine = base.adapt(spec.name, spec.transformers.adapter)
        logger.info(
            "%s is over the weights of %s (%.1f s).", spec.name, family.spec.name, time.monotonic() - began
        )
        added.hosted = replace(added.hosted, checkpoint=spec.checkpoint)
        family.spec = registry.with_adapter(family.spec, spec.name, spec.transformers.adapter)
        family.engines[spec.name] = added
        self._serve({spec.name: added})

    def _serve(self, engines: dict[str, Engine]) -> None:
        self._host.add(engines)
        for name, engine in engines.items():
            self._taps.open(queue_name(name), engine.hosted.slots)
        self._on_change()

    # --- giving up -------------------------------------------------------------------------------------------------

    def _unload(self, order: Order) -> None:
        name = order.chat_model
        family = self._family_of(name)
        if family is None:
            raise EngineError(f"{self._host.worker} has no {name}.")
        order = self._tell(order, OrderState.DRAINING)
        if family.engines:
            self._close_queue(name)
            self._drain(name)
            self._take_away(family, name)
        else:
            self._host.remove([name])
            self._forget(family, name)
        self._on_change()
        message = f"{name} is unloaded from {self._host.worker}."
        self._tell(order, OrderState.UNLOADED, message)

    def _close_queue(self, name: str) -> None:
        # First the queue, then the door: what was taken in between is served, what comes later put back.
        self._taps.close(queue_name(name))
        self._host.depart([name])
        self._on_change()

    def _drain(self, name: str) -> None:
        self._wait_until_idle(name, DRAIN_SECONDS)
        self._host.hand_over_all([name])
        if not self._wait_until_idle(name, STOP_SECONDS):
            raise EngineError(
                f"{name} still answers a request that cannot be stopped. Unload it again later."
            )

    def _wait_until_idle(self, name: str, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while self._host.running([name]):
            if time.monotonic() > until:
                return False
            # A worker that is being stopped ends its requests itself.
            time.sleep(0.02)
        return True

    def _take_away(self, family: Family, name: str) -> None:
        engine = family.engines.pop(name)
        self._host.remove([name])
        self._forget(family, name)
        base = registry.base_of(engine)
        if not family.engines:
            base.close()
        elif base is not engine:
            engine.close()
        del engine, base
        give_memory_back()

    def _forget(self, family: Family, name: str) -> None:
        left = registry.without(family.spec, name)
        if left is None:
            self._families.remove(family)
        else:
            family.spec = left

    # --- sleeping --------------------------------------------------------------------------------------------------

    def look_after_sleepers(self) -> None:
        """Lay down what has been idle for long, and wake what is asked for."""
        if self._host.draining:
            return
        for family in list(self._families):
            if not family.engines:
                if self._is_asked_for(family):
                    self._wake_for_requests(family)
            elif self._idle_seconds and self._host.idle_seconds(family.names) > self._idle_seconds:
                self._lay_down(family)

    def _lay_down(self, family: Family) -> None:
        names = family.names
        for name in names:
            self._taps.close(queue_name(name))
        self._host.depart(names)
        if self._host.running(names):  # a request has come in the last moment
            self._host.stay(names)
            self._serve(family.engines)
            return
        base = registry.base_of(next(iter(family.engines.values())))
        self._host.lay_down(names)
        family.engines = {}
        base.close()
        del base
        give_memory_back()
        self._on_change()
        logger.info("%s sleeps: nobody has asked for it in a while.", ", ".join(names))

    def _is_asked_for(self, family: Family) -> bool:
        """Whether requests wait for it and no other worker has it in memory or is about to."""
        wanted = [name for name in family.names if self._client.llen(queue_key(name))]
        if not wanted:
            return False
        others = [status for status in fleet.statuses(self._client) if status.worker != self._host.worker]
        return any(
            not any(status.has_ready(name) for status in others)
            and self._client.set(f"chatsite:waking:{name}", self._host.worker, nx=True, ex=WAKING_SECONDS)
            for name in wanted
        )

    def _wake_for_requests(self, family: Family) -> None:
        try:
            self._wake(family)
        except EngineError as error:
            # Nobody can be told but those who wait: they hear that no worker serves it.
            logger.error("%s cannot be loaded again: %s", ", ".join(family.names), error)
            self._host.remove(family.names)
            self._families.remove(family)
            self._on_change()
        finally:
            self._client.delete(*(f"chatsite:waking:{name}" for name in family.names))

    def _wake(self, family: Family) -> None:
        family.engines = load_family(family.spec).engines
        self._serve(family.engines)

    def _family_of(self, name: str) -> Family | None:
        return next((family for family in self._families if name in family.names), None)

    @property
    def _taps(self) -> Queues:
        assert self._queues is not None, "the steward has not been started"
        return self._queues


def give_memory_back() -> None:
    """What engines leave behind: cycles of objects, and freed blocks that the C library keeps for later."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)
