from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from celery import current_app
from django.core.cache import cache

import chatsite.accounts.tasks  # noqa: F401 - registers them, as the control worker's start does
from tests.factories import PASSWORD


@pytest.fixture(autouse=True)
def no_attempts_counted() -> None:
    """The local-memory cache outlives a test; the attempts counted in it must not."""
    cache.clear()


@pytest.fixture
def log_in(client):
    """Go through the log-in page, as a browser does."""

    def post(username: str, password: str = PASSWORD, *, follow_to: str = "", **headers):
        data = {"username": username, "password": password} | ({"next": follow_to} if follow_to else {})
        return client.post("/login/", data, **headers)

    return post


@pytest.fixture
def queued_tasks() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What would be sent to the control worker: (task, arguments)."""
    sent: list[tuple[str, dict[str, Any]]] = []
    with mock.patch.object(
        current_app, "send_task", lambda name, kwargs, **options: sent.append((name, kwargs))
    ):
        yield sent


@pytest.fixture
def run_tasks(queued_tasks):
    """Do the control worker's part."""

    def run() -> None:
        while queued_tasks:
            name, arguments = queued_tasks.pop(0)
            current_app.tasks[name](**arguments)

    return run
