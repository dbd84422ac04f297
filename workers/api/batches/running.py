"""Works on the open batches, in the control worker: many lines at once, and only where nobody waits.

Each line goes through the endpoint it names. All that must be remembered is in the database, under a lease of this
process, so it may be killed at any moment: whoever takes the batch up finds the lines that were under way with the ids
they were submitted under, and follows those instead of submitting them again.

For each chat model one slot is left free, and nothing new is started while somebody else's request waits.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from django.db import close_old_connections

from chatsite.accounts.models import ApiKey
from workers import client, ledger
from workers.api import errors, internal, threads
from workers.connections import broker
from workers.models import Batch, BatchLine
from workers.selectors import catalog
from workers.services import batches

logger = logging.getLogger(__name__)

TICK: Final = 0.2  # seconds; how soon a change of the load is seen
REFRESH: Final = 1.0  # seconds; how soon a new or cancelled batch is
LOAD_AGE: Final = 0.1  # seconds that the counts of other people's requests are believed
PORTION: Final = 64
"""Lines read from the database at once."""
MOST_AT_ONCE: Final = 64
"""Lines under way at once, all batches together: what they say is in this process's memory."""
STRANGERS: Final = 4
"""Lines at once of a model that is not in the catalog: each ends with an error at once."""
PAUSE = 1.0  # seconds before a chat model is tried again that refused a line


class Load:
    """What others want of the chat models: everybody but this runner."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._running: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._names: dict[str, str | None] = {}

    def room(self, wanted: str, mine: Mapping[str, str]) -> int:
        """How many more lines that ask for `wanted` may be started. Blocks for a moment.

        `mine`: what this runner has under way, request id → the model it asks for.
        """
        chat_model = self._name(wanted)
        if chat_model is None:
            return STRANGERS
        slots = sum(
            hosted.slots
            for status in client.statuses()
            if status.serves(chat_model)
            for hosted in status.models
            if hosted.name == chat_model
        )
        self._refresh(mine)
        if not slots or chat_model in self._waiting:
            return 0
        left_free = 1 if slots > 1 else 0
        own = sum(self._name(name) == chat_model for name in mine.values())
        return max(0, slots - left_free - self._running.get(chat_model, 0) - own)

    def forget_names(self) -> None:
        """The catalog may have changed."""
        self._names = {}

    def _name(self, wanted: str) -> str | None:
        """The chat model's own name, from one of its names; None when the catalog has none such."""
        if wanted not in self._names:
            found = catalog.find_published(name=wanted)
            self._names[wanted] = None if found is None else found.name
        return self._names[wanted]

    def _refresh(self, mine: Mapping[str, str]) -> None:
        if time.monotonic() - self._read_at < LOAD_AGE:
            return
        others = [request_id for request_id in ledger.in_flight(broker()) if request_id not in mine]
        self._running, self._waiting = defaultdict(int), set()
        for glance in ledger.glance(broker(), others).values():
            if glance.state == ledger.QUEUED:
                self._waiting.add(glance.chat_model)
            else:
                self._running[glance.chat_model] += 1
        self._read_at = time.monotonic()


class Work:
    """One batch, while this process works on it."""

    def __init__(self, batch: Batch, models: list[str]) -> None:
        self.batch = batch
        self.models = models
        """Those with waiting lines."""
        self.buffers: dict[str, list[BatchLine]] = {}
        self.not_before: dict[str, float] = {}
        self.under_way: dict[str, BatchLine] = {}
        """By request id."""

    @property
    def starts(self) -> bool:
        """Whether new lines may begin."""
        return (
            self.batch.status == Batch.Status.IN_PROGRESS and time.time() < self.batch.expires_at.timestamp()
        )


class Runner:
    def __init__(self) -> None:
        self._works: dict[int, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._load = Load()
        self._refreshed = float("-inf")

    async def run(self) -> None:
        """Until no batch is open."""
        try:
            while await self._step():
                await self._pause()
        finally:
            for task in self._tasks:
                task.cancel()
            await threads.run(batches.release)

    async def _step(self) -> bool:
        try:
            if time.monotonic() - self._refreshed > REFRESH:
                await self._refresh()
            for work in list(self._works.values()):
                await self._advance(work)
            return bool(self._works)
        except Exception:
            # A locked database or a broker that restarts: what was begun goes on, the rest is tried again.
            logger.exception("The batches pause for a moment")
            await asyncio.sleep(REFRESH)
            return True

    async def _pause(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(TICK / 4)

    async def _refresh(self) -> None:
        """See which batches there are. One that is new here, with lines under way, was another process's."""
        found = {batch.pk: batch for batch in await threads.run(batches.take_up)}
        self._refreshed = time.monotonic()
        self._load.forget_names()
        for pk in [pk for pk in self._works if pk not in found]:
            del self._works[pk]
        for pk, batch in found.items():
            if pk in self._works:
                self._works[pk].batch = batch
                continue
            work = self._works[pk] = Work(batch, await threads.run(batches.waiting_models, batch=batch))
            for line in await threads.run(batches.running_lines, batch=batch):
                self._start(work, line)

    async def _advance(self, work: Work) -> None:
        api_key = work.batch.api_key
        if work.starts and api_key is not None and api_key.good:
            for chat_model in list(work.models):
                await self._start_lines(work, chat_model)
        if work.under_way or (work.starts and work.models and api_key is not None and api_key.good):
            return
        if await threads.run(_end, work.batch):
            self._works.pop(work.batch.pk, None)
        elif not work.models:
            work.models = await threads.run(batches.waiting_models, batch=work.batch)

    async def _start_lines(self, work: Work, chat_model: str) -> None:
        if time.monotonic() < work.not_before.get(chat_model, 0.0):
            return
        under_way = [line for other in self._works.values() for line in other.under_way.values()]
        mine = {line.request_id: line.chat_model for line in under_way}
        room = await threads.run(self._load.room, chat_model, mine)
        room = min(room, MOST_AT_ONCE - len(self._tasks))
        if room <= 0:
            return
        buffer = work.buffers.get(chat_model)
        if not buffer:
            buffer = work.buffers[chat_model] = await threads.run(
                batches.waiting_lines, batch=work.batch, chat_model=chat_model, most=PORTION
            )
        if not buffer:
            work.models.remove(chat_model)
            return
        lines, buffer[:room] = buffer[:room], []
        for line in await threads.run(batches.claim, lines=lines):
            self._start(work, line)

    def _start(self, work: Work, line: BatchLine) -> None:
        work.under_way[line.request_id] = line
        task = asyncio.get_running_loop().create_task(self._run_line(work, line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_line(self, work: Work, line: BatchLine) -> None:
        try:
            answer = await self._answer(work.batch, line)
            if _may_pass(answer.status) and line.tries < batches.MOST_TRIES and work.starts:
                await threads.run(batches.put_back, line=line)
                work.not_before[line.chat_model] = time.monotonic() + PAUSE
                if line.chat_model not in work.models:
                    work.models.append(line.chat_model)
            else:
                await threads.run(
                    batches.finish_line, line=line, http_status=answer.status, response=answer.body
                )
        except Exception:
            # It stays as running, and is taken up again with the next look at the batch.
            logger.exception("A line of batch %s could not be settled", work.batch.public_id)
            self._works.pop(work.batch.pk, None)
            self._refreshed = float("-inf")
            await asyncio.sleep(REFRESH)
        finally:
            work.under_way.pop(line.request_id, None)

    async def _answer(self, batch: Batch, line: BatchLine) -> internal.Answer:
        api_key: ApiKey | None = batch.api_key
        if api_key is None:
            return _refusal("The key that made the batch is gone.")
        try:
            body = await threads.run(batches.read_body, batch=batch, line=line)
        except OSError:
            return _refusal("The input file is gone.")
        for name in ("stream", "background"):
            if body.get(name):
                return _refusal(f"'{name}' is not possible in a batch.", param=name)
        return await internal.post(batch.endpoint, body, api_key=api_key, request_id=line.request_id)


def _end(batch: Batch) -> bool:
    """End a batch of which nothing is under way, if there is a reason to."""
    api_key = batch.api_key
    if batch.status == Batch.Status.IN_PROGRESS and (api_key is None or not api_key.good):
        batches.fail(
            batch=batch, code="invalid_api_key", message="The key that made the batch is revoked or expired."
        )
        return True
    return batches.settle(batch=batch)


def _may_pass(status: int) -> bool:
    return status == 429 or status >= 500


def _refusal(message: str, *, param: str | None = None) -> internal.Answer:
    response = errors.InvalidRequest(message, param=param, code="invalid_batch_line").response()
    return internal.Answer(response.status_code, response.content.decode())


# --- the thread --------------------------------------------------------------------------------------------

_thread: threading.Thread | None = None
_lock = threading.Lock()


def ensure() -> None:
    """Have this process work on the open batches, if there are any. Returns at once; called every few seconds.

    The thread ends when no batch is open. It is a daemon: the process need not wait for it, since whatever it has
    begun can be taken up again.
    """
    global _thread
    with _lock:
        if (_thread is not None and _thread.is_alive()) or not batches.any_open():
            return
        _thread = threading.Thread(target=_work, name="batches", daemon=True)
        _thread.start()


def _work() -> None:
    try:
        asyncio.run(Runner().run())
    except Exception:
        logger.exception("The batches' thread ended; the next look starts another one")
    finally:
        close_old_connections()
