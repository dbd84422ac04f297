"""Waits for a request that is answered as a whole."""

from workers.api import errors
from workers.api.chat.serving import close
from workers.api.feeds import Feeds
from workers.protocol import LAST_EVENTS, Failed, Finished, FinishReason, StreamEvent, Waiting


async def events_of(request_id: str) -> list[StreamEvent]:
    """All events, the last one a `Finished`. Raises `ApiError`; ends the request when the client goes away."""
    feeds = Feeds([request_id])
    events: list[StreamEvent] = []
    try:
        while not (events and isinstance(events[-1], LAST_EVENTS)):
            events += [event for _, event in await feeds.take() if not isinstance(event, Waiting)]
    finally:
        await close(feeds)
    match events[-1]:
        case Failed(code=code, message=message, param=param):
            raise errors.failure(code, message, param)
        case Finished(reason=FinishReason.CANCELLED):
            raise errors.cancelled()
    return events
