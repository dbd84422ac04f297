"""What `models load` and `models unload` share: waiting for an order, and telling how far it is."""

import time
from argparse import ArgumentParser, ArgumentTypeError

from django.core.management.base import CommandError

from workers.commands.common import Say
from workers.connections import UNREACHABLE
from workers.protocol import Order, OrderState
from workers.selectors import hosting

POLL_SECONDS = 0.2
BROKER_AWAY = "The broker does not answer. bin/up starts it; REDIS_URL and CHATSITE_DATA say which one it is."
WORDS = {
    OrderState.QUEUED: "waiting for {worker}",
    OrderState.LOADING: "loading in {worker}",
    OrderState.DRAINING: "letting {worker} finish what runs",
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name or alias.")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=1800.0,
        metavar="SECONDS",
        help="Stop waiting after this long (default: %(default)g). The worker goes on.",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def wait(order_id: str, say: Say, *, timeout: float) -> None:
    """Say each step until the order has ended. Raises `CommandError` when it fails, or takes longer than `timeout`."""
    until = time.monotonic() + timeout
    told: OrderState | None = None
    while True:
        try:
            order = hosting.state(order_id)
        except UNREACHABLE:
            raise CommandError(BROKER_AWAY) from None
        if order is None:
            raise CommandError(
                "Nothing is known of the order any more. `manage.py models list` tells what is loaded."
            )
        if order.state is not told:
            _say_step(order, say)
            told = order.state
        if order.state.ended:
            return
        if time.monotonic() > until:
            raise CommandError(
                f"Not done after {timeout:g} seconds. The worker {order.worker} goes on with it."
            )
        time.sleep(POLL_SECONDS)


def _say_step(order: Order, say: Say) -> None:
    if order.state is OrderState.FAILED:
        raise CommandError(order.message)
    say(
        f"{order.chat_model}: {WORDS[order.state].format(worker=order.worker)} …"
        if order.state in WORDS
        else order.message
    )
