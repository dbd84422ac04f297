"""How news about requests leaves a worker: reports to the control worker, rescues through the broker."""

import contextlib
import logging
import time
from typing import Any

from celery import current_app

from workers import usage_log
from workers.broker import BrokerClient, queue_key
from workers.connections import UNREACHABLE, broker
from workers.protocol import Report
from workers.rescue import Rescuer

logger = logging.getLogger(__name__)

CONTROL_QUEUE = "control"
TRAIN_QUEUE = "train"
# A report is the only way of a reply into the database: wait out a restart of the broker.
RETRY_POLICY = {"max_retries": 120, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 1.0}
USAGE_TRIES, USAGE_PAUSE = 120, 1.0
"""The same for a usage report: tries, seconds between two."""


def send_report(task: str, report: Report) -> None:
    """Tell the control task `task` of an outcome. Never raises: the thread that calls it has nobody to tell."""
    try:
        if task == usage_log.USAGE_TASK:
            _log_usage(report)
            return
        current_app.send_task(
            task,
            args=[report.to_dict()],
            queue=CONTROL_QUEUE,
            ignore_result=True,
            retry=True,
            retry_policy=RETRY_POLICY,
        )
    except Exception as error:
        logger.error(
            "The outcome of request %s could not be reported: %s", report.request_id, type(error).__name__
        )


def _log_usage(report: Report) -> None:
    """Raises what is `UNREACHABLE` when the broker stays away."""
    for _ in range(USAGE_TRIES - 1):
        with contextlib.suppress(*UNREACHABLE):
            usage_log.append(broker(), report)
            return
        time.sleep(USAGE_PAUSE)
    usage_log.append(broker(), report)


def queue_length(chat_model: str) -> int:
    """Requests that wait for `chat_model`."""
    length: Any = broker().llen(queue_key(chat_model))
    return int(length)


def rescuer() -> Rescuer:
    return Rescuer(
        broker(), publish=BrokerClient().publish, send_report=send_report, queue_length=queue_length
    )
