"""The workers in the admin: the database's rows under the broker's heartbeats."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import make_user
from tests.fakes import heartbeat
from tests.workers_admin.pages import cells, text
from workers.models import Worker
from workers.services import fleet

LIST = "/admin/workers/worker/"


@pytest.fixture(autouse=True)
def true_statuses(valkey, settings):
    """Heartbeats come from the broker, as in the product."""
    settings.WORKERS_CLIENT = "workers.broker.BrokerClient"


@pytest.fixture
def gone(db) -> Worker:
    """A worker that died an hour ago."""
    then = timezone.now() - timedelta(hours=1)
    return Worker.objects.create(
        name="old@vm-7",
        host="vm",
        pid=7,
        version="0.0.9",
        hosted=[{"name": "parrot", "engine": "scripted", "context_length": 8192}],
        slots=8,
        in_flight=3,
        tokens_per_second=12.5,
        memory_bytes=100 * 2**20,
        started_at=then - timedelta(minutes=5),
        last_seen_at=then,
    )


@pytest.fixture
def alive(db) -> Worker:
    """A worker that beat this very moment, with a row that is older and says something else."""
    status = heartbeat("new@vm-8", "parrot", in_flight=0, version="0.1.0")
    row = fleet.record_heartbeat(status=status)
    heartbeat("new@vm-8", "parrot", in_flight=2, tokens_per_second=40.0, memory_bytes=3 * 2**30, pid=12345)
    return row


def test_it_shows_the_heartbeat_and_not_the_row_of_five_seconds_ago(pages, alive):
    page = pages.get(LIST)
    assert cells(page, "state") == ["ready"]
    assert cells(page, "busy") == ["2 of 1"]
    assert cells(page, "speed") == ["40.0"]
    assert cells(page, "memory") == ["3.0 GiB"]
    assert cells(page, "hosted_models") == ["parrot (scripted)"]
    assert cells(page, "process") == ["localhost, PID 12345 v0"]
    assert cells(page, "last_seen") == ["now"]


def test_it_shows_what_is_known_of_one_that_is_gone(pages, gone):
    page = pages.get(LIST)
    assert cells(page, "state") == ["offline"]
    assert cells(page, "busy") == ["-"]
    assert cells(page, "speed") == ["-"]
    assert cells(page, "memory") == ["100 MiB"]
    assert cells(page, "uptime") == ["5 min 0 s"]
    assert cells(page, "last_seen") == ["1 h 0 min ago"]


def test_a_worker_is_gone_as_soon_as_its_heartbeat_is(pages, alive, valkey):
    valkey.delete("chatsite:worker:new@vm-8")
    assert cells(pages.get(LIST), "state") == ["offline"]


def test_it_shows_a_draining_worker(pages, alive):
    heartbeat("new@vm-8", "parrot", draining=True)
    assert cells(pages.get(LIST), "state") == ["draining"]


def test_it_names_a_live_worker_that_has_no_row_yet(pages):
    heartbeat("newest@vm-9", "parrot")
    assert "Alive, but not in the list yet: newest@vm-9" in text(pages.get(LIST))


def test_it_sums_up_the_chat_models(pages, alive):
    page = text(pages.get(LIST))
    assert "Chat model State Workers Running Slots Waiting parrot ready 1 0 1 0" in page


def test_it_says_how_to_start_a_worker_when_none_runs(pages):
    assert "No worker is running" in text(pages.get(LIST))


def test_it_finds_the_gone_ones(pages, alive, gone):
    assert cells(pages.get(f"{LIST}?seen=before"), "name") == ["old@vm-7"]
    assert cells(pages.get(f"{LIST}?seen=now"), "name") == ["new@vm-8"]
    assert cells(pages.get(f"{LIST}?q=0.0.9"), "name") == ["old@vm-7"]


def test_the_page_of_a_worker_is_live_and_read_only(pages, alive):
    page = pages.get(f"{LIST}{alive.pk}/change/")
    assert "Slots in use: 2 of 1" in text(page)
    assert "PID: 12345" in text(page)
    assert 'name="pid"' not in page.content.decode()
    assert pages.post(f"{LIST}{alive.pk}/change/", {"name": "x"}).status_code == 403
    assert pages.get(f"{LIST}add/").status_code == 403


def test_the_pages_poll_themselves_and_hold_no_inline_code(pages, alive):
    for url, part in ((LIST, "live-list"), (f"{LIST}{alive.pk}/change/", "live-worker")):
        body = pages.get(url).content.decode()
        assert f'<div id="{part}" hx-get="{url}" hx-trigger="every 2s" hx-select="#{part}"' in body
        assert not re.search(r"<style|\sstyle=|\son\w+=", body)
        assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", body) == []
        assert "vendor/htmx" in body


def test_it_forgets_those_that_are_gone_only(pages, alive, gone):
    chosen = {"action": "forget", "_selected_action": [alive.pk, gone.pk]}
    page = text(pages.post(LIST, chosen, follow=True))
    assert "1 worker is forgotten" in page
    assert "1 is alive and not forgotten" in page
    assert [worker.name for worker in Worker.objects.all()] == ["new@vm-8"]


def test_it_does_not_forget_a_live_one_whose_row_is_stale(pages, alive):
    """The control worker is down, so rows are old; the broker knows better."""
    Worker.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    pages.post(LIST, {"action": "forget", "_selected_action": [alive.pk]})
    assert Worker.objects.exists()


def test_a_gone_one_can_be_deleted_from_its_page_and_a_live_one_cannot(pages, alive, gone):
    assert pages.post(f"{LIST}{alive.pk}/delete/", {"post": "yes"}).status_code == 403
    assert pages.post(f"{LIST}{gone.pk}/delete/", {"post": "yes"}).status_code == 302
    assert [worker.name for worker in Worker.objects.all()] == ["new@vm-8"]


def test_it_shows_the_last_known_state_without_a_broker(pages, alive, gone, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    from workers import client

    client.reset()
    page = pages.get(LIST)
    assert cells(page, "state") == ["unknown", "unknown"]
    assert cells(page, "process") == ["localhost, PID 1 v0.1.0", "vm, PID 7 v0.0.9"]
    assert "The broker does not answer" in text(page)


def test_a_heartbeat_of_another_version_does_not_break_the_page(pages, gone):
    gone.hosted = [{"name": "from the future"}, {}]
    gone.save()
    assert cells(pages.get(LIST), "hosted_models") == ["from the future"]


def test_people_without_the_right_see_nothing(client, alice, gone):
    client.force_login(alice)
    assert client.get(LIST).status_code == 302
    client.force_login(make_user("clerk", is_staff=True))
    assert client.get(LIST).status_code == 403
    assert client.post(LIST, {"action": "forget", "_selected_action": [gone.pk]}).status_code == 403
    assert Worker.objects.exists()


def test_who_may_look_may_not_forget(client, gone):
    from django.contrib.auth.models import Permission

    viewer = make_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_worker"))
    client.force_login(viewer)
    assert cells(client.get(LIST), "name") == ["old@vm-7"]
    client.post(LIST, {"action": "forget", "_selected_action": [gone.pk]})
    assert Worker.objects.exists()
