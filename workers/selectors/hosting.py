"""How far orders to workers have come."""

from dataclasses import replace

from workers import fleet, orders
from workers.connections import broker
from workers.protocol import Order, OrderState


def state(order_id: str) -> Order | None:
    """The order as it stands; None for one that is not known (any more).

    One whose worker has died has failed, whatever it had said last.
    """
    order = orders.look_up(broker(), order_id)
    return None if order is None else _seen_today([order])[0]


def recent(*, count: int = 20) -> list[Order]:
    """The orders of the last day, newest first."""
    return _seen_today(orders.recent(broker(), count=count))


def _seen_today(found: list[Order]) -> list[Order]:
    if all(order.state.ended for order in found):
        return found
    statuses = {status.worker: status for status in fleet.statuses(broker())}
    seen = []
    for order in found:
        status = statuses.get(order.worker)
        # A worker that was restarted under its name carries out what waits, and knows nothing of what was begun.
        alive = status is not None and (not order.changed_at or status.started_at <= order.changed_at)
        lost = not (order.state.ended or alive)
        message = f"The worker {order.worker} has stopped. Choose another one."
        seen.append(replace(order, state=OrderState.FAILED, message=message) if lost else order)
    return seen
