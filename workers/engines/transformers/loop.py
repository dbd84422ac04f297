"""The thread that turns the wheel: lets rows in, steps the batch, hands out tokens, lets rows go."""

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

import torch

from workers.engines.transformers.rows import Row
from workers.engines.transformers.sampling import pick

logger = logging.getLogger(__name__)

BROKE_DOWN = "The model broke down while it was answering."


class Batch(Protocol):
    """What can run rows step by step: `slots.SlotBatch` or `lockstep.LockstepBatch`."""

    @property
    def rows(self) -> list[Row]: ...
    @property
    def room(self) -> int: ...
    def enter(self, row: Row) -> None: ...
    def leave(self, row: Row) -> None: ...
    def step(self) -> tuple[list[Row], torch.Tensor]: ...


class Loop:
    """Owns the batch: nobody else touches the model. Rows come in in the order in which they were submitted."""

    def __init__(self, batch: Batch, *, name: str, threads: int = 0):
        """`threads`: CPU threads of the matrix products; 0 leaves them alone."""
        self._batch = batch
        self._threads = threads
        self._waiting: deque[Row] = deque()
        self._errands: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"torch-{name}", daemon=True)
        self._thread.start()

    def submit(self, row: Row) -> None:
        with self._changed:
            if self._closing:
                raise RuntimeError("the engine is closed")
            self._waiting.append(row)
            self._changed.notify()

    def between_steps(self, act: Callable[[], Any]) -> Future[Any]:
        """Have the loop's thread do something with the model when no step runs."""
        future: Future[Any] = Future()
        with self._changed:
            if self._closing:
                raise RuntimeError("the engine is closed")
            self._errands.append((future, act))
            self._changed.notify()
        return future

    def close(self) -> None:
        """End what runs as cancelled, and the thread. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while self._wait():
                self._run_errands()
                self._drop_unwanted()
                self._let_in()
                if self._batch.rows:
                    self._step()
        for row in (*self._waiting, *self._batch.rows):
            row.cancel()
        for future, _ in self._errands:
            future.set_exception(RuntimeError("the engine is closed"))

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when there is never more."""
        with self._changed:
            while not (self._closing or self._waiting or self._errands or self._batch.rows):
                self._changed.wait()
            return not self._closing

    def _run_errands(self) -> None:
        while self._errands:
            future, act = self._errands.popleft()
            try:
                future.set_result(act())
            except Exception as error:
                future.set_exception(error)

    def _drop_unwanted(self) -> None:
        for row in [row for row in self._batch.rows if row.unwanted]:
            self._batch.leave(row)
            row.cancel()
        with self._changed:
            for row in [row for row in self._waiting if row.unwanted]:
                self._waiting.remove(row)
                row.cancel()

    def _let_in(self) -> None:
        with self._changed:
            while self._waiting and self._batch.room > 0:
                self._batch.enter(self._waiting.popleft())

    def _step(self) -> None:
        try:
            rows, logits = self._batch.step()
            picked = pick(logits, [row.picker for row in rows]) if rows else []
            done = [row for row, token in zip(rows, picked, strict=True) if row.take(token)]
        except Exception as error:
            self._give_up(error)
            return
        for row in done:
            self._batch.leave(row)

    def _give_up(self, error: Exception) -> None:
        """The step went wrong, so nobody knows what the cache holds: every row of it fails, the next ones may not."""
        *_, frame = traceback.extract_tb(error.__traceback__)
        logger.error(
            "A step broke down: %s in %s, line %s", type(error).__name__, frame.filename, frame.lineno
        )
        for row in list(self._batch.rows):
            row.fail(BROKE_DOWN)
            self._batch.leave(row)
