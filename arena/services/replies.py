"""What becomes of a reply: submitted, cancelled, recorded, or given up. Reads no text, only carries it.

A reply leaves the status `queued` exactly once, by a conditional update, so reports that come twice, late, or beside a
reconciliation do no harm.
"""

import logging
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from arena.models import Reply, TokenProbabilities
from chatsite.accounts.models import UsageRecord
from chatsite.accounts.services import usage
from workers import client
from workers.protocol import (
    Delta,
    ErrorCode,
    Failed,
    Finished,
    Gathering,
    GenerationRequest,
    Report,
    TokenLogprob,
    TopLogprob,
)

logger = logging.getLogger(__name__)

REPORT_TASK = "arena.record_reply"
# Tokens of one answer whose probabilities are kept.
MOST_TOKENS = 10_000
# Stands in for a chat model's name where a person could read it before the vote.
SEALED = "sealed"
# A reply this young may still be on its way to the broker, or its report on the way to the database.
GRACE = timedelta(seconds=60)

LOST = "The answer was lost: the server that was to write it has restarted. Please try again."
OVERDUE = "The answer took too long and was given up. Please try again."
OVERFLOW = "The conversation has become too long for this chat model. Start a new one, or pick a model that reads more."


def submit(request: GenerationRequest) -> None:
    """Hand the request to the workers; a refusal becomes the failed reply that the page is shown. Never raises.

    Call it after the commit: a worker may report before this returns.
    """
    reply_id = uuid.UUID(request.id)
    try:
        client.submit(request)
    except client.NoWorker:
        fail(
            reply_id=reply_id,
            code=ErrorCode.NO_WORKER,
            message=gettext(
                "“%(name)s” is offline at the moment. Pick another chat model, or try again later."
            )
            % {"name": request.chat_model},
        )
    except client.QueueFull:
        fail(
            reply_id=reply_id,
            code=ErrorCode.QUEUE_FULL,
            message=gettext("“%(name)s” has too much to do at the moment. Please try again in a moment.")
            % {"name": request.chat_model},
        )
    except Exception:
        # Whatever it was, the reply is committed: left as it is, it would block its conversation for a minute.
        logger.exception("reply %s could not be submitted", reply_id)
        fail(
            reply_id=reply_id,
            code=ErrorCode.ENGINE_FAILURE,
            message=gettext("The chat models cannot be reached at the moment. Please try again later."),
        )


def cancel(reply_id: uuid.UUID) -> None:
    """Ask the workers to stop. What they have so far comes as the report."""
    client.cancel(reply_id.hex)


def abandon(reply_ids: list[uuid.UUID]) -> None:
    """Cancel replies that are gone from the database. Never raises: they are gone whether or not the broker answers.

    Not `on_commit(robust=True)`, which stumbles over a `partial` when it wants to log its name (Django 5.2).
    """
    for reply_id in reply_ids:
        try:
            cancel(reply_id)
        except Exception:
            logger.exception("reply %s was deleted but could not be cancelled", reply_id)


def fail(*, reply_id: uuid.UUID, code: ErrorCode, message: str) -> bool:
    """End a queued reply without a report. False when it has ended already."""
    ended = Reply.objects.filter(pk=reply_id, status=Reply.Status.QUEUED).update(
        status=Reply.Status.FAILED,
        outcome=code.value,
        error_message=message[:500],
        finished_at=timezone.now(),
    )
    return ended == 1


@transaction.atomic
def record(*, report: Report) -> bool:
    """Write a worker's report into its reply, with the tokens it used. False when there is nothing to write to:
    the reply has ended already, or was deleted with its conversation.
    """
    reply_id = _reply_id(report.key)
    if reply_id is None:
        return False
    written = Reply.objects.filter(pk=reply_id, status=Reply.Status.QUEUED).update(
        status=Reply.Status.FAILED if report.failed else Reply.Status.FINISHED,
        text=storable(report.text),
        reasoning=storable(report.reasoning),
        outcome=report.outcome[:32],
        error_message=storable(sentence(report.outcome, report.error_message))[:500],
        prompt_tokens=report.usage.prompt_tokens,
        completion_tokens=report.usage.completion_tokens,
        first_token_seconds=report.timing.first_token,
        total_seconds=report.timing.total,
        finished_at=timezone.now(),
    )
    if not written:
        return False
    reply = Reply.objects.select_related("message__conversation__battle").get(pk=reply_id)
    battle = reply.message.conversation.battle
    usage.record(
        user_id=reply.message.conversation.owner_id,
        api_key_id=None,
        source=UsageRecord.Source.CHAT,
        report=report,
        # The person's usage page must not tell who fights: the name is put in when the battle is revealed.
        chat_model=SEALED if battle is not None and not battle.revealed else reply.chat_model_name,
    )
    if reply.sampling.get("logprobs"):
        _keep_probabilities(reply)
    return True


def reconcile(*, only: uuid.UUID | None = None) -> int:
    """Settle the queued replies that nobody will report on any more (or just one). Returns how many.

    The broker may have lost its memory, or a report may have been lost with the process that carried it.
    """
    now = timezone.now()
    last_deadline = now - timedelta(seconds=settings.GENERATION_TIMEOUT)
    old = Reply.objects.filter(status=Reply.Status.QUEUED, created_at__lt=now - GRACE)
    if only is not None:
        old = old.filter(pk=only)
    return sum(
        settle(reply_id=reply_id, overdue=created_at < last_deadline - GRACE)
        for reply_id, created_at in old.order_by("created_at").values_list("id", "created_at")
    )


def settle(*, reply_id: uuid.UUID, overdue: bool = False) -> bool:
    """End one queued reply if its request has ended or is unknown; False when somebody may still work on it.

    `overdue`: its deadline is long past, so that nobody can, whatever the broker says.
    """
    state = client.state(reply_id.hex)
    if state in ("queued", "running"):
        return overdue and fail(reply_id=reply_id, code=ErrorCode.DEADLINE, message=OVERDUE)
    report = _replayed(reply_id) if state == "done" else None
    if report is not None:
        return record(report=report)
    logger.warning("reply %s was lost and is marked as failed", reply_id)
    return fail(reply_id=reply_id, code=ErrorCode.WORKER_LOST, message=LOST)


def sentence(outcome: str, message: str) -> str:
    """What the person is told of a failure. The workers' own words serve but for one case, where a remedy is known."""
    return OVERFLOW if outcome == ErrorCode.CONTEXT_OVERFLOW else message


def storable(text: str) -> str:
    """`text` without what PostgreSQL or UTF-8 cannot hold; a model may produce anything."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _keep_probabilities(reply: Reply) -> None:
    """Store what the reply's stream tells of its tokens; the report has only the text."""
    said = Gathering()
    for _, event in client.follow(reply.id.hex):
        if isinstance(event, Delta):
            said.add(event)
    tokens = [
        [*_told(token), [_told(alternative) for alternative in token.top]]
        for token in said.logprobs[:MOST_TOKENS]
    ]
    if tokens:
        TokenProbabilities.objects.update_or_create(reply=reply, defaults={"tokens": tokens})


def _told(token: TokenLogprob | TopLogprob) -> list[str | float | None]:
    return [storable(token.token), None if token.logprob is None else round(token.logprob, 4)]


def _replayed(reply_id: uuid.UUID) -> Report | None:
    """The report of an ended request, put together from its stream; None when the stream has expired."""
    text: list[str] = []
    for _, event in client.follow(reply_id.hex):
        if isinstance(event, Delta):
            text.append(event.text)
        elif isinstance(event, Finished | Failed):
            failed = event if isinstance(event, Failed) else None
            if failed and failed.code is ErrorCode.EXPIRED:
                return None
            return Report(
                request_id=reply_id.hex,
                key=str(reply_id),
                text="".join(text),
                outcome=failed.code if failed else event.reason,  # type: ignore[union-attr]
                error_message=failed.message if failed else "",
                usage=event.usage,
                timing=event.timing,
            )
    return None


def _reply_id(key: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(key)
    except ValueError:
        logger.error("a report with a key that is no reply's id was dropped")
        return None
