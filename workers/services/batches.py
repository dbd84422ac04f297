"""The life of a batch: made, worked on line by line, written out, cancelled or expired.

A line is claimed before it is submitted and done when its answer is stored. Both are single statements, so a process
that dies at any moment leaves lines that are waiting, running under a request id that can be followed, or done.
"""

import json
import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import psutil
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from chatsite.accounts.models import ApiKey
from workers.models import ApiFile, Batch, BatchLine
from workers.services import files, jsonl

ENDPOINTS: Final = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/moderations",
)
LEASE: Final = timedelta(seconds=30)
MOST_OPEN: Final = 50
"""Open batches of one person."""
MOST_TRIES: Final = 5
"""Of one line, when what went wrong may pass."""
_PORTION: Final = 2000  # rows per statement


class TooMany(Exception):  # noqa: N818 - reads as what happened
    """The person has `MOST_OPEN` open batches."""


class Ended(Exception):  # noqa: N818
    """The batch has ended already."""


def create(
    *,
    api_key: ApiKey,
    input_file: ApiFile,
    endpoint: str,
    window: timedelta,
    window_name: str,
    metadata: dict[str, str] | None = None,
    output_lifetime: int | None = None,
) -> Batch:
    """Enter a batch with a row for each request. A file that does not fit `endpoint` makes a batch that has failed.

    Raises `TooMany`.
    """
    if Batch.objects.filter(owner=api_key.owner, status__in=Batch.OPEN).count() >= MOST_OPEN:
        raise TooMany
    now = timezone.now()
    batch = Batch(
        owner=api_key.owner,
        api_key=api_key,
        endpoint=endpoint,
        completion_window=window_name,
        metadata=metadata or {},
        input_file=input_file,
        input_file_name=input_file.public_id,
        output_lifetime=output_lifetime,
        expires_at=now + window,
    )
    with transaction.atomic():
        batch.save()
        try:
            with transaction.atomic():
                batch.total = _enter_lines(batch, input_file.path, endpoint)
        except jsonl.InvalidLine as error:
            problem = {
                "code": "invalid_line", "line": error.number, "message": error.message, "param": error.param or None,
            }  # fmt: skip
            batch.status, batch.errors, batch.ended_at = Batch.Status.FAILED, [problem], now
        else:
            batch.started_at = now
        batch.save()
    return batch


def _enter_lines(batch: Batch, path: Path, endpoint: str) -> int:
    count = 0
    for portion in _portions(_lines(batch, path, endpoint)):
        BatchLine.objects.bulk_create(portion)
        count += len(portion)
    return count


def _lines(batch: Batch, path: Path, endpoint: str) -> Iterator[BatchLine]:
    try:
        for line in jsonl.read(path):
            if line.data.get("url") != endpoint:
                raise jsonl.InvalidLine(
                    line.number, f"Its 'url' is not the batch's endpoint, {endpoint}.", "url"
                )
            yield BatchLine(
                batch=batch,
                number=line.number,
                custom_id=line.data["custom_id"],
                chat_model=str(line.data["body"]["model"])[:200],
                offset=line.offset,
                length=line.length,
            )
    except OSError:
        raise jsonl.InvalidLine(0, "The input file cannot be read.", "input_file_id") from None


def _portions(rows: Iterable[BatchLine]) -> Iterator[list[BatchLine]]:
    portion: list[BatchLine] = []
    for row in rows:
        portion.append(row)
        if len(portion) == _PORTION:
            yield portion
            portion = []
    if portion:
        yield portion


def request_cancel(*, batch: Batch) -> None:
    """What runs may end, nothing new begins. Raises `Ended`; asked twice, it changes nothing."""
    now = timezone.now()
    changed = Batch.objects.filter(pk=batch.pk, status=Batch.Status.IN_PROGRESS).update(
        status=Batch.Status.CANCELLING, cancelling_at=now
    )
    batch.refresh_from_db()
    if not changed and batch.status not in (Batch.Status.CANCELLING, Batch.Status.FINALIZING):
        raise Ended


# --- who works on it ---------------------------------------------------------------------------------------


@cache
def me() -> str:
    """A name for this process that no later one gets: host, process id, and when it began."""
    process = psutil.Process()
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{int(process.create_time())}"


def any_open() -> bool:
    return Batch.objects.filter(status__in=Batch.OPEN).exists()


def take_up() -> list[Batch]:
    """The open batches that this process works on now, oldest first: its own, and those whose runner is gone."""
    now = timezone.now()
    free = Q(runner=me()) | Q(lease_until=None) | Q(lease_until__lt=now)
    open_batches = Batch.objects.filter(status__in=Batch.OPEN)
    for runner in open_batches.exclude(runner__in=["", me()]).values_list("runner", flat=True).distinct():
        if _is_gone(runner):
            free |= Q(runner=runner)
    open_batches.filter(free).update(runner=me(), lease_until=now + LEASE)
    return list(
        open_batches.filter(runner=me()).select_related("input_file", "api_key__owner").order_by("id")
    )


def release() -> None:
    """Give back what this process works on: another one need not wait for the lease to run out."""
    Batch.objects.filter(runner=me(), status__in=Batch.OPEN).update(runner="", lease_until=None)


def _is_gone(runner: str) -> bool:
    host, pid, began = ["", *runner.rsplit(":", 2)][-3:]
    if host != socket.gethostname()[:40]:
        return False
    try:
        process = psutil.Process(int(pid))
        return int(process.create_time()) != int(began) or process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return True


# --- lines -------------------------------------------------------------------------------------------------


def running_lines(*, batch: Batch) -> list[BatchLine]:
    """Submitted, and not known to be done: by this process, or by one that is gone."""
    return list(batch.lines.filter(status=BatchLine.Status.RUNNING))


def waiting_lines(*, batch: Batch, chat_model: str, most: int) -> list[BatchLine]:
    return list(batch.lines.filter(status=BatchLine.Status.WAITING, chat_model=chat_model)[:most])


def waiting_models(*, batch: Batch) -> list[str]:
    waiting = batch.lines.filter(status=BatchLine.Status.WAITING)
    return list(waiting.order_by().values_list("chat_model", flat=True).distinct())


def claim(*, lines: Sequence[BatchLine]) -> list[BatchLine]:
    """Those of `lines` that were still waiting, each with a fresh request id. Nobody else gets them."""
    claimed = []
    with transaction.atomic():
        for line in lines:
            line.request_id = uuid.uuid4().hex
            taken = BatchLine.objects.filter(pk=line.pk, status=BatchLine.Status.WAITING).update(
                status=BatchLine.Status.RUNNING, request_id=line.request_id, tries=F("tries") + 1
            )
            if taken:
                line.status, line.tries = BatchLine.Status.RUNNING, line.tries + 1
                claimed.append(line)
    return claimed


def read_body(*, batch: Batch, line: BatchLine) -> dict[str, Any]:
    """The request itself. Raises `OSError` when the input file is gone."""
    if batch.input_file is None:
        raise FileNotFoundError(batch.input_file_name)
    with batch.input_file.path.open("rb") as file:
        file.seek(line.offset)
        body: dict[str, Any] = jsonl.parse(file.read(line.length), line.number)["body"]
    return body


@transaction.atomic
def finish_line(*, line: BatchLine, http_status: int, response: str) -> bool:
    """Store the answer. False when the line is done already, or was given to a later try."""
    done = BatchLine.objects.filter(
        pk=line.pk, status=BatchLine.Status.RUNNING, request_id=line.request_id
    ).update(status=BatchLine.Status.DONE, http_status=http_status, response=response)
    if done:
        counter = "completed" if http_status == 200 else "failed"
        Batch.objects.filter(pk=line.batch_id).update(**{counter: F(counter) + 1})
    return bool(done)


def put_back(*, line: BatchLine) -> None:
    """Let a line that could not be answered now wait for another try."""
    BatchLine.objects.filter(pk=line.pk, status=BatchLine.Status.RUNNING, request_id=line.request_id).update(
        status=BatchLine.Status.WAITING, request_id=""
    )


# --- the end -----------------------------------------------------------------------------------------------


def fail(*, batch: Batch, code: str, message: str) -> None:
    """Nothing more can be run for it. What is done is written out all the same."""
    problem = {"code": code, "line": None, "message": message, "param": None}
    Batch.objects.filter(pk=batch.pk, status__in=Batch.OPEN).update(errors=[problem])
    _give_up(batch, Batch.Status.FAILED)


def settle(*, batch: Batch) -> bool:
    """End the batch if nothing is left to do for it. Call it when none of its lines runs. True when it has ended."""
    left = batch.lines.exclude(status=BatchLine.Status.DONE).exists()
    if batch.status == Batch.Status.CANCELLING:
        _give_up(batch, Batch.Status.CANCELLED)
    elif left and timezone.now() >= batch.expires_at:
        _give_up(batch, Batch.Status.EXPIRED)
    elif left:
        return False
    else:
        _write_out(batch, Batch.Status.COMPLETED)
    return True


def _give_up(batch: Batch, status: Batch.Status) -> None:
    """End it with lines that were not run. Those of an expired one are errors; a cancelled one's are left out."""
    left = batch.lines.exclude(status=BatchLine.Status.DONE)
    if status == Batch.Status.EXPIRED:
        count = left.update(status=BatchLine.Status.DONE, http_status=None, response="")
        Batch.objects.filter(pk=batch.pk).update(failed=F("failed") + count)
    _write_out(batch, status)


def _write_out(batch: Batch, status: Batch.Status) -> None:
    """Write the output files and end the batch, both or neither. Done again after a crash, it does the same."""
    Batch.objects.filter(pk=batch.pk, status=Batch.Status.IN_PROGRESS).update(
        status=Batch.Status.FINALIZING, finalizing_at=timezone.now()
    )
    done = batch.lines.filter(status=BatchLine.Status.DONE).order_by("number")
    with transaction.atomic():
        if not Batch.objects.select_for_update().filter(pk=batch.pk, status__in=Batch.OPEN).exists():
            return
        output = _write(batch, "output", done.filter(http_status=200))
        errors = _write(batch, "error", done.exclude(http_status=200))
        Batch.objects.filter(pk=batch.pk).update(
            output_file=output,
            error_file=errors,
            status=status,
            ended_at=timezone.now(),
            runner="",
            lease_until=None,
        )
        # The answers are in the files now; the rows stay as the record of what was done.
        batch.lines.update(response="")


def _write(batch: Batch, kind: str, lines: Any) -> ApiFile | None:
    """The lines as a file of the owner; None when there are none."""
    path = files.new_incoming()
    count = 0
    with path.open("x", encoding="utf-8") as file:
        for line in lines.iterator(chunk_size=_PORTION):
            file.write(json.dumps(_outcome(line), ensure_ascii=False) + "\n")
            count += 1
    if not count:
        path.unlink()
        return None
    expires_at = timezone.now() + timedelta(seconds=batch.output_lifetime) if batch.output_lifetime else None
    return files.take_in_own(
        owner=batch.owner,
        source=path,
        filename=f"{batch.public_id}_{kind}.jsonl",
        purpose=ApiFile.Purpose.BATCH_OUTPUT,
        lines=count,
        expires_at=expires_at,
    )


def _outcome(line: BatchLine) -> dict[str, Any]:
    """OpenAI's "request output object"."""
    outcome: dict[str, Any] = {"id": f"batch_req_{line.pk}", "custom_id": line.custom_id}
    if line.http_status is None:
        error = {"code": "batch_expired", "message": "The batch's time was over before this request was run."}
        return {**outcome, "response": None, "error": error}
    response = {
        "status_code": line.http_status, "request_id": f"req_{line.request_id}", "body": json.loads(line.response),
    }  # fmt: skip
    return {**outcome, "response": response, "error": None}
