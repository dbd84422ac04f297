"""The control worker's own settings."""

from typing import Any

import pytest
from celery import current_app
from celery.fixups.django import DjangoWorkerFixup
from celery.signals import task_prerun
from django.db import connection

from workers.management.commands import control


@pytest.fixture
def kept(settings):
    """Connections are kept, and Celery and the settings are as they were after the test."""
    databases = settings.DATABASES["default"]
    age = databases.get("CONN_MAX_AGE", 0)
    control.keep_connections()
    yield
    databases["CONN_MAX_AGE"] = age
    current_app.conf.pop("CELERY_DB_REUSE_MAX")
    task_prerun.disconnect(control._close_old_connections)


class Task:
    """What Celery's signals carry."""

    request: Any = None


def close_around_a_task(monkeypatch) -> int:
    """How often Celery closes the connections of this thread around one task."""
    closed: list[bool] = []
    fixup = DjangoWorkerFixup(current_app)
    monkeypatch.setattr(fixup, "_close_database", lambda: closed.append(True))
    fixup.on_task_prerun(sender=Task)
    fixup.on_task_postrun(sender=Task)
    return len(closed)


def test_celery_by_itself_closes_the_database_around_each_task(monkeypatch):
    assert close_around_a_task(monkeypatch) == 2


def test_the_control_worker_keeps_it(kept, monkeypatch):
    assert close_around_a_task(monkeypatch) == 0


def test_a_connection_that_has_become_too_old_is_closed_before_a_task(kept, monkeypatch):
    looked: list[bool] = []
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: looked.append(True))

    task_prerun.send(sender=Task)

    assert looked
