"""The in-process workers, which also remember what they were asked."""

import threading
from typing import Any

from tests.fakes import InProcessClient
from workers.client import QueueFull
from workers.protocol import WorkerRequest


class ObservedClient(InProcessClient):
    """`busy` is always full, `recovers` only the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.tries: list[str] = []
        self.cancelled: list[str] = []
        self._lock = threading.Lock()

    def submit(self, request: WorkerRequest) -> None:
        with self._lock:
            self.tries.append(request.chat_model)
            tried = self.tries.count(request.chat_model)
        if request.chat_model == "busy" or (request.chat_model == "recovers" and tried == 1):
            error = QueueFull("full")
            error.retry_after = 0.05 if request.chat_model == "busy" else 0.9
            raise error
        super().submit(request)

    def cancel(self, request_id: str) -> None:
        with self._lock:
            self.cancelled.append(request_id)
        super().cancel(request_id)

    def observed(self) -> dict[str, Any]:
        # A worker does this once a second: a cancellation may come between a request's claim and its start.
        self._host.check_wanted()
        return {
            "tries": self.tries,
            "submitted": [request.id for request in self.requests],
            "cancelled": self.cancelled,
            "in_flight": list(self._host.in_flight),
        }
