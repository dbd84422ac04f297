"""Charges what the API's requests used, a portion of reports at a time, in a thread of the control worker."""

import logging
import threading
from typing import Final

from django.db import DatabaseError, IntegrityError, close_old_connections

from chatsite.accounts.services import usage
from workers import usage_log
from workers.connections import UNREACHABLE, broker
from workers.protocol import Report

logger = logging.getLogger(__name__)

PORTION: Final = 200
"""Reports that are charged together at most; each is a row of one statement."""
GATHERING: Final = 0.25
"""Seconds that are waited after the first report for others to come: at full load they do, and share the cost."""
LOOK: Final = 4.0
"""Seconds that a look for reports blocks; below the broker connection's own patience."""
PAUSE: Final = 1.0
"""Seconds until the next try when the broker or the database is away."""
UNFIT: Final = (IntegrityError, ValueError, KeyError, TypeError, AttributeError)
"""What a report raises that can never be charged as it is: somebody was deleted in this moment, or its key is none."""

_closing = threading.Event()
_thread: threading.Thread | None = None


def charge_beside() -> None:
    """Charge in a thread of this process, until `stop`. Returns at once.

    The thread is a daemon: a report is forgotten when its row is there, so the process may end at any moment.
    """
    global _thread
    _closing.clear()
    _thread = threading.Thread(target=_charge_on, name="charging", daemon=True)
    _thread.start()


def stop() -> None:
    """Let the thread end with what it is about. Returns at once."""
    _closing.set()


def charge_portion() -> int:
    """Charge the oldest reports that wait. Returns how many were taken.

    Raises `DatabaseError` and what is `UNREACHABLE`; the reports are still there then.
    """
    taken = usage_log.take(broker(), PORTION)
    _charge([report for _, report in taken if report is not None])
    usage_log.forget(broker(), [entry_id for entry_id, _ in taken])
    return len(taken)


def _charge(reports: list[Report]) -> None:
    if not reports:
        return
    try:
        usage.take_reports(reports)
    except UNFIT:
        # One of them is to blame.
        for report in reports:
            _charge_alone(report)


def _charge_alone(report: Report) -> None:
    try:
        usage.take_report(report)
    except UNFIT as error:
        logger.error(
            "The usage of request %s cannot be recorded (%s)", report.request_id, type(error).__name__
        )


def _charge_on() -> None:
    while not _closing.is_set():
        try:
            if usage_log.wait(broker(), LOOK):
                _closing.wait(GATHERING)
                close_old_connections()
                while charge_portion() == PORTION:
                    pass
        except UNREACHABLE as error:
            logger.warning(
                "The broker does not answer (%s); usage is recorded when it does", type(error).__name__
            )
            _closing.wait(PAUSE)
        except DatabaseError as error:
            logger.warning("The database does not answer (%s); usage is recorded when it does", error)
            _closing.wait(PAUSE)
        except Exception:
            # Nobody would start the thread again, and no more usage be recorded.
            logger.exception("Usage could not be recorded; it is tried again")
            _closing.wait(PAUSE)
