"""Limits on what is asked for through the API: requests and tokens, per key and per person, per minute and per day.

Counters live in the broker, limits in the database. Tokens are reserved before a request runs (its prompt and the most
it may say) and settled to what it truly made when its report comes, so that requests at the same moment cannot
together pass a limit, and a reply that was broken off costs what was written. Windows begin at multiples of their
length.
"""

import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.conf import settings

from chatsite.accounts.models import ApiKey, ApiLimits, User
from workers.connections import UNREACHABLE, broker

logger = logging.getLogger(__name__)

PERIODS: Final = {"minute": 60, "day": 24 * 3600}
PREFIX: Final = "chatsite:quota"


class Window(NamedTuple):
    """One limit in its present window."""

    kind: str
    """`requests` or `tokens`."""
    limit: int
    key: str
    """Of the counter."""
    ends_in: float
    """Seconds."""
    seconds: int


class Standing(NamedTuple):
    """What is left of the tightest limit of a kind."""

    limit: int
    remaining: int
    reset: float
    """Seconds until the window ends."""


class OverLimit(Exception):  # noqa: N818 - reads as what happened
    """A limit is used up."""

    def __init__(self, window: Window, amount: int) -> None:
        super().__init__(f"{window.kind} per {window.seconds} s")
        self.kind = window.kind
        self.limit = window.limit
        self.amount = amount
        self.retry_after = max(0.001, window.ends_in)
        self.per_day = window.seconds > 60
        self.standing = Standing(window.limit, 0, window.ends_in)

    @property
    def hopeless(self) -> bool:
        """Asks for more than a whole window has."""
        return self.amount > self.limit


# KEYS: counters. ARGV: amount, then limit and seconds to keep for each counter. All are increased, or none; the answer
# is the number of the first that would pass its limit (0: none), and the counters as they are now.
_TAKE = """
local values = {}
for i, key in ipairs(KEYS) do
  values[i] = tonumber(redis.call('GET', key) or '0')
  if values[i] + tonumber(ARGV[1]) > tonumber(ARGV[2 * i]) then return {i} end
end
for i, key in ipairs(KEYS) do
  values[i] = redis.call('INCRBY', key, ARGV[1])
  redis.call('EXPIRE', key, ARGV[2 * i + 1])
end
table.insert(values, 1, 0)
return values
"""

# KEYS: reservation. ARGV: tokens truly used. The counters of windows that have ended are gone and stay so. A
# reservation is settled once, however often its report comes.
_SETTLE = """
local amount = redis.call('HGET', KEYS[1], 'amount')
if not amount then return 0 end
local counters = redis.call('HGET', KEYS[1], 'counters')
for key in string.gmatch(counters, '[^\\n]+') do
  if redis.call('EXISTS', key) == 1 then redis.call('INCRBY', key, ARGV[1] - amount) end
end
redis.call('DEL', KEYS[1])
return 1
"""


def count_request(*, api_key: ApiKey) -> Standing | None:
    """Count one request of the key and its owner. None when nothing limits them. Raises `OverLimit`.

    A broker that cannot be reached limits nothing, and that is logged.
    """
    return _take(_windows(api_key, "requests"), 1)


def reserve(*, api_key: ApiKey, request_id: str, tokens: int) -> Standing | None:
    """Set `tokens` aside for a request. None when nothing limits tokens: there is nothing to settle then.

    Raises `OverLimit`.
    """
    windows = _windows(api_key, "tokens")
    standing = _take(windows, tokens)
    if standing is not None:
        client = broker().pipeline()
        client.hset(
            _reservation(request_id),
            mapping={"amount": tokens, "counters": "\n".join(window.key for window in windows)},
        )
        client.expire(_reservation(request_id), 2 * PERIODS["day"])
        client.execute()
    return standing


def settle(*, request_id: str, tokens: int) -> None:
    """Charge a reserved request what it used instead of what was set aside. Does nothing the second time."""
    try:
        broker().eval(_SETTLE, 1, _reservation(request_id), tokens)
    except UNREACHABLE as error:
        logger.error("Request %s could not be settled: %s", request_id, type(error).__name__)


def limits_of(holder: ApiLimits) -> dict[tuple[str, str], int]:
    """(kind, period) → limit, for those there are. A person without a limit of their own has the site's."""
    found: dict[tuple[str, str], int] = {}
    for kind in ("requests", "tokens"):
        for period in PERIODS:
            limit = getattr(holder, f"{kind}_per_{period}")
            if limit is None and isinstance(holder, User):
                limit = getattr(settings, f"API_{kind}_PER_{period}".upper()) or None
            if limit is not None:
                found[kind, period] = limit
    return found


def _windows(api_key: ApiKey, kind: str) -> list[Window]:
    now = time.time()
    holders = ((f"key:{api_key.pk}", api_key), (f"user:{api_key.owner_id}", api_key.owner))
    windows = []
    for name, holder in holders:
        for (limited, period), limit in limits_of(holder).items():
            if limited == kind:
                seconds = PERIODS[period]
                key = f"{PREFIX}:{kind}:{name}:{period}:{int(now // seconds)}"
                windows.append(Window(kind, limit, key, seconds - now % seconds, seconds))
    return windows


def _take(windows: Sequence[Window], amount: int) -> Standing | None:
    if not windows:
        return None
    keys = [window.key for window in windows]
    # Kept a little longer than the window, for a settlement that comes late.
    arguments: list[Any] = [amount]
    for window in windows:
        arguments += [window.limit, math.ceil(window.ends_in) + 60]
    try:
        refused, *counters = broker().eval(_TAKE, len(keys), *keys, *arguments)
    except UNREACHABLE as error:
        logger.error("API limits are not enforced: the broker does not answer (%s)", type(error).__name__)
        return None
    if refused:
        raise OverLimit(windows[refused - 1], amount)
    standings = [
        Standing(window.limit, max(0, window.limit - used), window.ends_in)
        for window, used in zip(windows, counters, strict=True)
    ]
    return min(standings, key=lambda standing: standing.remaining / standing.limit)


def _reservation(request_id: str) -> str:
    return f"{PREFIX}:reservation:{request_id}"
