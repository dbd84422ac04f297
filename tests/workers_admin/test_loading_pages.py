"""Loading and unloading in the admin."""

import pytest

from tests.factories import make_chat_model, make_user
from tests.fakes import heartbeat
from tests.workers_admin.pages import cells, text
from workers import fleet, orders
from workers.models import ChatModel
from workers.protocol import HostedModel, OrderState, WorkerStatus

LIST = "/admin/workers/chatmodel/"


@pytest.fixture(autouse=True)
def true_statuses(valkey, settings, monkeypatch):
    """Heartbeats come from the broker, as in the product, and outlive a busy machine's test."""
    monkeypatch.setattr(fleet, "EXPIRY_SECONDS", 600.0)
    settings.WORKERS_CLIENT = "workers.broker.BrokerClient"


def act(pages, action: str, *chat_models: ChatModel, worker: str = ""):
    chosen = {"_selected_action": [chat_model.pk for chat_model in chat_models]}
    return pages.post(LIST, {"action": action, "worker": worker, **chosen}, follow=True)


def test_it_loads_into_the_worker_that_is_chosen(pages, valkey):
    second = make_chat_model("second")
    heartbeat("one", "parrot")
    heartbeat("two", "parrot")
    page = act(pages, "load_into_worker", second, worker="two")
    assert "waiting second into two for " in text(page)
    order = orders.take(valkey, "two", seconds=1)
    assert order is not None
    assert (order.chat_model, order.loads) == ("second", True)


def test_it_finds_a_worker_by_itself(pages, valkey):
    heartbeat("one")
    act(pages, "load_into_worker", make_chat_model("second"))
    assert orders.take(valkey, "one", seconds=1) is not None


def test_it_unloads_from_all_that_have_it(pages, valkey):
    heartbeat("one", "parrot")
    heartbeat("two", "parrot")
    act(pages, "unload_from_workers", make_chat_model("parrot"))
    for worker in ("one", "two"):
        order = orders.take(valkey, worker, seconds=1)
        assert order is not None
        assert not order.loads


def test_a_refusal_is_said_and_the_others_are_loaded(pages, valkey):
    heartbeat("one", "parrot")
    page = act(pages, "load_into_worker", make_chat_model("parrot"), make_chat_model("second"))
    assert "arrot is loaded by every worker already." in text(page)
    assert orders.take(valkey, "one", seconds=1) is not None


def test_it_shows_how_far_each_order_is(pages, valkey):
    make_chat_model("second")
    heartbeat("one", started_at=1.0)
    first, second = (
        orders.give(valkey, worker="one", chat_model=name, weights=None) for name in ("first", "second")
    )
    orders.tell(valkey, first, OrderState.FAILED, "The file is cut off.")
    orders.tell(valkey, second, OrderState.DRAINING)
    shown = text(pages.get(LIST))
    assert "failed : The file is cut off." in shown
    assert "finishing what runs second out of one for " in shown
    assert "The file is cut off." in text(pages.get("/admin/workers/worker/"))


def test_what_sleeps_is_shown_so(pages, valkey):
    make_chat_model("parrot")
    status = heartbeat("one")
    models = (HostedModel("parrot", "scripted", asleep=True),)
    fleet.beat(valkey, WorkerStatus(status.worker, models, "0", "here", 1, status.started_at, status.sent_at))
    assert cells(pages.get(LIST), "state") == ["asleep , 1 worker"]


def test_who_may_only_look_cannot_load(client, valkey, db):
    from django.contrib.auth.models import Permission

    looker = make_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_chatmodel"))
    client.force_login(looker)
    heartbeat("one")
    act(client, "load_into_worker", make_chat_model("second"), worker="one")
    assert orders.take(valkey, "one", seconds=0.01) is None


def test_the_page_works_while_the_broker_is_away(pages, monkeypatch):
    from workers import client

    def away():
        raise ConnectionError("away")

    make_chat_model("second")
    monkeypatch.setattr(client, "statuses", away)
    assert "The broker does not answer" in text(pages.get(LIST))
