"""The workers without their processes: the true ledger, streams and host on a real Valkey, but no Celery between."""

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import current_app

from chatsite.accounts.services import charging
from workers import fleet, ledger, usage_log
from workers.broker import BrokerClient
from workers.connections import broker
from workers.engines.base import Engine
from workers.engines.scripted import Script, ScriptedEngine
from workers.host import EngineHost
from workers.protocol import GenerationRequest, HostedModel, Report, WorkerRequest, WorkerStatus


class InProcessClient(BrokerClient):
    """A `BrokerClient` whose queue is a thread pool that runs the true host.

    * `host(engine)` makes a chat model alive; `host_script("parrot", "reply=Hello there&rate=50")` a scripted one.
    * `requests` lists what was submitted, `other_requests` what asked for vectors or tokens.
    * Reports do not run in the worker's thread (a test's transaction is invisible there): `deliver_reports()` waits for
      the running requests and calls the control tasks in the caller's thread, as the control worker would.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[GenerationRequest] = []
        self.other_requests: list[WorkerRequest] = []
        self.reports: list[tuple[str, Report]] = []
        self._threads = ThreadPoolExecutor(32, thread_name_prefix="in-process-worker")
        self._running: list[Any] = []
        self._host = EngineHost(
            worker="in-process",
            engines={},
            client=broker(),
            report=lambda task, report: self.reports.append((task, report)),
            hand_over=lambda request_id: False,
            put_back=self._put_back,
        )

    def host(self, engine: Engine) -> None:
        self._host.add({engine.hosted.name: engine})

    def host_script(self, name: str, script: str = "") -> None:
        self.host(ScriptedEngine(name, Script.parse(script)))

    def unhost(self, name: str) -> None:
        """The chat model's worker goes away."""
        self._host.remove([name])

    def statuses(self) -> list[WorkerStatus]:
        models: Iterable[HostedModel] = self._host.hosted
        now = time.time()
        return [WorkerStatus("in-process", tuple(models), "test", "localhost", 1, now, now)]

    def submit(self, request: WorkerRequest) -> None:
        super().submit(request)
        if isinstance(request, GenerationRequest):
            self.requests.append(request)
        else:
            self.other_requests.append(request)

    def publish(self, request_id: str, attempt: int, chat_model: str) -> None:
        self._running.append(self._threads.submit(self._host.work_on, request_id, attempt))

    def _put_back(self, request_id: str, attempt: int, chat_model: str) -> None:
        if any(model.name == chat_model for model in self._host.hosted):
            self.publish(request_id, attempt, chat_model)

    def cancel(self, request_id: str) -> None:
        super().cancel(request_id)
        self._host.stop(request_id)

    def wait_idle(self, timeout: float = 120.0) -> None:
        """Wait for the running requests; raises what went wrong in them."""
        for running in self._running:
            running.result(timeout)
        self._running = []

    def deliver_reports(self, timeout: float = 120.0) -> list[Report]:
        """Wait for the running requests, then run the control task of each report. Returns the reports."""
        self.wait_idle(timeout)
        return self.deliver_made_reports()

    def deliver_made_reports(self) -> list[Report]:
        """The same for those that are there already; what is still running is not waited for."""
        current_app.loader.import_default_modules()  # as a Celery worker does; a test may have imported none
        delivered, self.reports = self.reports, []
        for task, report in delivered:
            if task == usage_log.USAGE_TASK:
                usage_log.append(broker(), report)
                charging.charge_portion()
                continue
            payload = json.loads(json.dumps(report.to_dict()))  # what the queue does to it
            current_app.tasks[task](payload)
        return [report for _, report in delivered]

    def close(self) -> None:
        for request_id in self._host.in_flight:
            self._host.stop(request_id)
        self._threads.shutdown(wait=True)
        self._host.close()


def heartbeat(name: str, *models: str, **values: Any) -> WorkerStatus:
    """A live worker, for as long as its heartbeat key lives."""
    now = time.time()
    status = WorkerStatus(
        worker=name,
        models=tuple(HostedModel(model, "scripted") for model in models),
        **{"version": "0", "host": "localhost", "pid": 1, "started_at": now, "sent_at": now, **values},
    )
    fleet.beat(broker(), status)
    return status


def enter(request: WorkerRequest) -> None:
    """Put a request into the ledger without a queue."""
    ledger.enter(broker(), request)
