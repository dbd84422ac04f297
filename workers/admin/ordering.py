"""Loading and unloading for the operator: which worker, and how far it is."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import redis
from django import forms
from django.contrib.admin.helpers import ActionForm
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from workers import client
from workers.connections import UNREACHABLE
from workers.protocol import Order, OrderState
from workers.selectors import hosting
from workers.selectors.fleet import Fleet

SHOWN = 6


def _workers() -> list[tuple[str, str]]:
    try:
        names = [status.worker for status in client.statuses() if not status.draining]
    except (redis.RedisError, *UNREACHABLE):
        names = []
    return [("", gettext("the one that suits best")), *((name, name) for name in names)]


class WorkerActionForm(ActionForm):
    """The worker stands beside the action. For unloading, none is all that have the chat model."""

    worker = forms.ChoiceField(label=_("Worker:"), choices=_workers, required=False)


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """An order as a line of the page."""

    state: str
    state_in_words: str
    what: str
    message: str
    since: str


def shown_orders(now: Fleet) -> list[ShownOrder]:
    """The newest ones; none while the broker is away."""
    if not now.reachable:
        return []
    try:
        return [_shown(order) for order in hosting.recent(count=SHOWN)]
    except (redis.RedisError, *UNREACHABLE):
        return []


def _shown(order: Order) -> ShownOrder:
    names = {"model": order.chat_model, "worker": order.worker}
    what = gettext("%(model)s into %(worker)s") if order.loads else gettext("%(model)s out of %(worker)s")
    ended = order.state.ended
    return ShownOrder(
        state=str(order.state),
        state_in_words=_words(order.state),
        # The sentence of an order that has ended names both.
        what="" if ended and order.message else what % names,
        message=order.message,
        since=_clock(order.changed_at or order.given_at) if ended else _lasting(order),
    )


def _words(state: OrderState) -> str:
    return {
        OrderState.QUEUED: pgettext("order", "waiting"),
        OrderState.LOADING: pgettext("order", "loading"),
        OrderState.DRAINING: pgettext("order", "finishing what runs"),
        OrderState.READY: pgettext("order", "loaded"),
        OrderState.UNLOADED: pgettext("order", "unloaded"),
        OrderState.FAILED: pgettext("order", "failed"),
    }[state]


def _lasting(order: Order) -> str:
    seconds = max(0, round(time.time() - (order.changed_at or order.given_at)))
    return gettext("for %(seconds)d s") % {"seconds": seconds}


def _clock(at: float) -> str:
    return date_format(localtime(datetime.fromtimestamp(at, UTC)), "TIME_FORMAT")
