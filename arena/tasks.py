"""What the control worker does for conversations. Each task is one service call."""

import logging
from typing import Any

from celery import shared_task
from django.db import OperationalError

from arena.services import attachments, background, labelling, moderation, publishing, replies, votes
from workers.protocol import ProtocolError, Report

logger = logging.getLogger(__name__)


@shared_task(
    name=replies.REPORT_TASK,
    # Acknowledged when it is done: a control worker that is killed here must not take the answer along. Recording is
    # idempotent, so a second delivery does no harm.
    acks_late=True,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=10,
)
def record_reply(report: dict[str, Any]) -> None:
    try:
        parsed = Report.from_dict(report)
    except ProtocolError:
        # Without the error's own text: it may quote the reply. Trying again would not mend it.
        logger.error("a report that is none was dropped")
        return
    if replies.record(report=parsed):
        moderation.check_answer(reply_id=parsed.key)


@shared_task(name="arena.exclude_outliers")
def exclude_outliers() -> None:
    votes.exclude_outliers()


@shared_task(name="arena.reconcile_replies")
def reconcile_replies() -> None:
    replies.reconcile()


@shared_task(name="arena.forget_unsent_files")
def forget_unsent_files() -> None:
    attachments.forget_unsent()


@shared_task(name="arena.publish_board")
def publish_board() -> None:
    publishing.publish_if_changed()


@shared_task(name=background.SOLVE_TASK)
def solve_board(slice_name: str, since: str | None, until: str | None) -> None:
    background.solve_kept(slice_name=slice_name, since=since, until=until)


@shared_task(name="arena.widen_intervals")
def widen_intervals() -> None:
    background.widen()


@shared_task(name="arena.judge_categories")
def judge_categories() -> None:
    labelling.judge_recent()


@shared_task(name=labelling.TOPICS_TASK)
def find_topics() -> None:
    labelling.find_topics()
