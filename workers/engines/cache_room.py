"""Shares one K/V cache between requests whose length nobody knows beforehand. Pure threads and numbers.

A request may come in while there is room for what it holds, and then grows. When the cache gets full the youngest one
inside is ordered out: it gives up what it holds, waits, and comes in again with its text so far. The oldest is never
ordered out, so somebody always gets to the end; and a request that is alone may fill the whole cache.
"""

import itertools
import threading
from collections.abc import Callable

# A request that comes in (again) finds at least so much room to grow, or it would be ordered out at once.
HEADROOM = 64
# How often one that waits looks whether it is still wanted.
LOOK_SECONDS = 0.05


class Ticket:
    """One request's claim. `ordered_out` is true from the order until it has left."""

    def __init__(self, number: int, tokens: int, *, pinned: bool = False):
        self.number = number
        self.pinned = pinned
        """It cannot go on where it was interrupted, so others are ordered out first."""
        self.tokens = tokens
        """What it holds, or will hold when it comes in."""
        self.ordered_out = False


class CacheRoom:
    def __init__(self, capacity: int, *, margin: int):
        """`margin` tokens stay free: what all requests may add before one that is ordered out has left."""
        self._capacity = capacity
        self._usable = max(1, capacity - margin)
        self._numbers = itertools.count()
        self._inside: set[Ticket] = set()
        self._waiting: set[Ticket] = set()
        self._changed = threading.Condition()

    def ticket(self, tokens: int, *, pinned: bool = False) -> Ticket:
        """For a request that will hold about so many tokens when it comes in. Earlier tickets go first."""
        return Ticket(next(self._numbers), tokens, pinned=pinned)

    def enter(self, ticket: Ticket, unwanted: Callable[[], bool]) -> bool:
        """Wait for room. False when `unwanted` became true first; the ticket is not inside then."""
        with self._changed:
            self._waiting.add(ticket)
            while not self._may_enter(ticket):
                if unwanted():
                    self._waiting.discard(ticket)
                    self._changed.notify_all()
                    return False
                self._changed.wait(LOOK_SECONDS)
            self._waiting.discard(ticket)
            self._inside.add(ticket)
            self._changed.notify_all()
            return True

    def grow(self, ticket: Ticket, tokens: int) -> None:
        """`ticket` holds so many tokens now. Orders the youngest out, perhaps this one, when that is too much."""
        with self._changed:
            ticket.tokens = tokens
            staying = [other for other in self._inside if not other.ordered_out]
            if len(staying) > 1 and sum(other.tokens for other in staying) > self._usable:
                oldest = min(staying, key=lambda other: other.number)
                others = [other for other in staying if other is not oldest]
                max(others, key=lambda other: (not other.pinned, other.number)).ordered_out = True

    def leave(self, ticket: Ticket) -> None:
        """What it held is free. Idempotent."""
        with self._changed:
            self._inside.discard(ticket)
            ticket.ordered_out = False
            self._changed.notify_all()

    @property
    def alone(self) -> bool:
        with self._changed:
            return len(self._inside) <= 1

    def _may_enter(self, ticket: Ticket) -> bool:
        if any(other.number < ticket.number for other in self._waiting):
            return False
        held = sum(other.tokens for other in self._inside)
        return not self._inside or held + ticket.tokens + HEADROOM <= self._usable
