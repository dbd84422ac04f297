"""Counts attempts in the shared cache and refuses the ones over a limit.

Written here rather than taken from django-ratelimit: an attempt must be given back when it turns out honest (or one
office behind one address is locked out each Monday), and a cache that is down must not lock everybody out.
"""

import hashlib
import logging
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.core.cache import cache

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    name: str
    attempts: int
    seconds: int
    """Length of the window. Windows begin at multiples of it, so a burst over a border may be twice `attempts`."""


class Count(NamedTuple):
    """One thing to count: a limit and whom it is applied to."""

    limit: Limit
    subject: str


class TooManyAttempts(Exception):  # noqa: N818 - reads as what happened
    """A limit is used up. `retry_after` is in whole seconds, at least one."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"try again in {retry_after} seconds")
        self.retry_after = retry_after


# Guessing one password from one place, from many places, and one common password for many accounts. The second is
# wide: it is what a stranger could lock somebody out with.
LOGIN_HERE: Final = Limit("login-here", attempts=10, seconds=5 * 60)
LOGIN_ANYWHERE: Final = Limit("login-anywhere", attempts=100, seconds=60 * 60)
LOGIN_ADDRESS: Final = Limit("login-address", attempts=50, seconds=5 * 60)
# Asking a signed-in person for the password again: a stolen session must not become a stolen password.
PASSWORD_CONFIRMATION: Final = Limit("password-confirmation", attempts=10, seconds=5 * 60)
SIGN_UP_ADDRESS: Final = Limit("sign-up-address", attempts=30, seconds=60 * 60)
RESET_ADDRESS: Final = Limit("reset-address", attempts=20, seconds=60 * 60)
# Each attempt is a mail in somebody's inbox.
RESET_MAILBOX: Final = Limit("reset-mailbox", attempts=3, seconds=60 * 60)


def take(*counts: Count) -> None:
    """Count one attempt against each, in order. Raises `TooManyAttempts` at the first that is used up.

    The ones behind it are not counted then, so a refused address cannot use up an account's attempts. When the cache
    cannot be reached the attempt is let through and the failure logged.
    """
    now = time.time()
    for count in counts:
        try:
            used = _increase(_key(count, now), count.limit.seconds)
        except Exception:
            # Every cache backend has exceptions of its own.
            logger.exception("Attempts are not limited: the cache does not answer")
            return
        if used > count.limit.attempts:
            raise TooManyAttempts(retry_after=max(1, int(count.limit.seconds - now % count.limit.seconds)))


def give_back(*counts: Count) -> None:
    """Undo one `take`: the attempt was an honest one."""
    now = time.time()
    for count in counts:
        try:
            cache.decr(_key(count, now))
        except ValueError:
            pass  # the window has ended meanwhile
        except Exception:
            logger.exception("Attempts are not limited: the cache does not answer")
            return


def _increase(key: str, seconds: int) -> int:
    # The key names its window and outlives it by far, so it cannot expire between `add` and `incr`, which would
    # leave a counter that never expires.
    if cache.add(key, 1, timeout=2 * seconds):
        return 1
    return cache.incr(key)


def _key(count: Count, now: float) -> str:
    # Hashed: a subject is whatever somebody typed, and the cache should not hold a list of addresses.
    subject = hashlib.sha256(count.subject.encode(errors="replace")).hexdigest()[:32]
    return f"attempts:{count.limit.name}:{int(now // count.limit.seconds)}:{subject}"
