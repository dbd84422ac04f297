"""Orders from the operator's side: who is told, and what is seen of it."""

import json
import threading
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.factories import make_chat_model
from tests.fakes import heartbeat
from workers import client, fleet, orders
from workers.commands import ordering
from workers.models import Alias
from workers.protocol import HostedModel, OrderState, Weights
from workers.selectors import hosting as selectors
from workers.services import hosting
from workers.services.hosting import CannotHost

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def true_statuses(valkey, settings, monkeypatch):
    """Heartbeats come from the broker, as in the product, and outlive a busy machine's test."""
    monkeypatch.setattr(fleet, "EXPIRY_SECONDS", 600.0)
    settings.WORKERS_CLIENT = "workers.broker.BrokerClient"


def beat(valkey, name, *models, **values):
    status = heartbeat(name, **values)
    fleet.beat(valkey, replace(status, models=tuple(models)))


def hosted(name, **values):
    return HostedModel(name, values.pop("engine", "scripted"), **values)


class TestLoading:
    def test_the_worker_is_told_what_the_catalog_says(self, valkey):
        make_chat_model(
            "second", checkpoint="rate=5", slots=3, context_length=99, engine_options={"load_8bit": True}
        )
        heartbeat("one", "parrot")
        order_id = hosting.load("second", worker="one")
        order = orders.take(valkey, "one", seconds=1)
        assert order is not None
        assert (order.id, order.chat_model, order.state) == (order_id, "second", OrderState.QUEUED)
        assert order.weights == Weights("scripted", "rate=5", 3, 99, "", json.dumps({"load_8bit": True}))

    def test_an_alias_is_as_good_as_a_name(self, valkey):
        Alias.objects.create(name="gpt-4", chat_model=make_chat_model("second"))
        heartbeat("one")
        order = selectors.state(hosting.load("gpt-4"))
        assert order is not None
        assert order.chat_model == "second"

    @pytest.mark.parametrize(
        ("name", "worker", "said"),
        [
            ("nobody", None, "no chat model 'nobody'"),
            ("second", "three", "no worker 'three' (one, leaving)"),
            ("second", "leaving", "leaving is being stopped"),
            ("parrot", "one", "loaded by one already"),
            ("parrot", None, "loaded by every worker already"),
        ],
    )
    def test_it_says_why_nobody_can_be_told(self, valkey, name, worker, said):
        make_chat_model("second")
        make_chat_model("parrot")
        heartbeat("one", "parrot", started_at=1.0)
        heartbeat("leaving", draining=True)
        with pytest.raises(CannotHost) as refusal:
            hosting.load(name, worker=worker)
        assert said in str(refusal.value)
        assert valkey.keys("chatsite:order:*") == []

    def test_without_a_worker_it_says_how_to_start_one(self, valkey):
        make_chat_model("second")
        with pytest.raises(CannotHost, match=r"manage\.py worker"):
            hosting.load("second")


class TestTheOneThatSuitsBest:
    def chosen(self, name="second"):
        order = selectors.state(hosting.load(name))
        assert order is not None
        return order.worker

    def test_it_is_the_emptiest(self, valkey):
        make_chat_model("second")
        beat(valkey, "full", hosted("a"), hosted("b"))
        beat(valkey, "sleepy", hosted("a"), hosted("b", asleep=True), memory_bytes=2)
        beat(valkey, "lean", hosted("a"), memory_bytes=1)
        assert self.chosen() == "lean"

    def test_it_is_rather_one_that_lets_it_sleep(self, valkey):
        make_chat_model("second")
        beat(valkey, "empty")
        beat(valkey, "knows", hosted("a"), hosted("second", asleep=True))
        assert self.chosen() == "knows"

    def test_it_is_rather_one_with_the_base_of_an_adapter(self, valkey):
        options = {"adapter": "/srv/lora"}
        make_chat_model("mine", engine="transformers", checkpoint="/srv/base", engine_options=options)
        beat(valkey, "empty")
        beat(valkey, "base", hosted("base", engine="transformers", checkpoint="/srv/base"), hosted("b"))
        assert self.chosen("mine") == "base"


class TestUnloading:
    def test_each_worker_that_has_it_is_told(self, valkey):
        make_chat_model("parrot")
        heartbeat("one", "parrot")
        heartbeat("two", "parrot", "second")
        heartbeat("three", "second")
        told = [selectors.state(order_id) for order_id in hosting.unload("parrot")]
        assert {(order.worker, order.loads) for order in told if order} == {("one", False), ("two", False)}

    def test_it_may_be_one_of_them(self, valkey):
        heartbeat("one", "parrot")
        heartbeat("two", "parrot")
        (order_id,) = hosting.unload("parrot", worker="two")
        order = selectors.state(order_id)
        assert order is not None
        assert order.worker == "two"

    def test_what_nobody_has_cannot_be_given_up(self, valkey):
        heartbeat("one", "parrot")
        with pytest.raises(CannotHost, match="No worker has second loaded"):
            hosting.unload("second")
        with pytest.raises(CannotHost, match="one has no second"):
            hosting.unload("second", worker="one")


class TestSeeing:
    @pytest.fixture
    def order(self, valkey):
        return orders.give(valkey, worker="one", chat_model="second", weights=Weights("scripted", ""))

    def test_nothing_is_known_of_an_unknown_one(self, valkey):
        assert selectors.state("unknown") is None

    def test_it_is_as_the_worker_says(self, valkey, order):
        heartbeat("one", started_at=1.0)
        told = orders.tell(valkey, order, OrderState.LOADING)
        assert selectors.state(order.id) == told

    def test_one_that_waits_for_a_dead_worker_has_failed(self, valkey, order):
        seen = selectors.state(order.id)
        assert seen is not None
        assert (seen.state, "one has stopped" in seen.message) == (OrderState.FAILED, True)

    def test_one_that_waits_is_carried_out_by_the_worker_s_next_start(self, valkey, order):
        heartbeat("one", started_at=order.given_at + 5)
        assert selectors.state(order.id) == order

    def test_one_that_was_begun_is_forgotten_by_it(self, valkey, order):
        told = orders.tell(valkey, order, OrderState.LOADING)
        heartbeat("one", started_at=told.changed_at + 5)
        seen = selectors.state(order.id)
        assert seen is not None
        assert seen.state is OrderState.FAILED

    def test_what_has_ended_stays_so_when_the_worker_goes(self, valkey, order):
        told = orders.tell(valkey, order, OrderState.READY, "There.")
        assert selectors.state(order.id) == told

    def test_the_newest_come_first(self, valkey, order):
        newer = orders.give(valkey, worker="two", chat_model="third", weights=None)
        assert [one.id for one in selectors.recent()] == [newer.id, order.id]
        assert [one.id for one in selectors.recent(count=1)] == [newer.id]

    def test_an_order_of_another_version_hides_no_other(self, valkey, order):
        newer = orders.give(valkey, worker="two", chat_model="third", weights=None)
        valkey.set(f"chatsite:order:{newer.id}", "{}")
        assert [one.id for one in selectors.recent()] == [order.id]
        assert selectors.state(newer.id) is None
        assert orders.take(valkey, "two", seconds=1) is None


class Obedient:
    """A worker that does what it is told, in a thread."""

    def __init__(self, valkey, *states):
        self._valkey, self._states = valkey, states
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        order = orders.take(self._valkey, "one", seconds=60)
        assert order is not None
        for state in self._states:
            order = orders.tell(self._valkey, order, state, f"It is {state}." if state.ended else "")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._thread.join()


def manage(*arguments):
    said = StringIO()
    call_command("models", *arguments, stdout=said)
    return said.getvalue().splitlines()


class TestCommands:
    @pytest.fixture(autouse=True)
    def second(self, valkey, monkeypatch):
        monkeypatch.setattr(ordering, "POLL_SECONDS", 0.01)
        heartbeat("one", "parrot", started_at=1.0)
        return make_chat_model("second")

    def test_loading_waits_until_it_answers(self, valkey):
        with Obedient(valkey, OrderState.LOADING, OrderState.READY):
            assert manage("load", "second")[-1] == "It is ready."

    def test_unloading_waits_until_it_is_gone(self, valkey):
        with Obedient(valkey, OrderState.DRAINING, OrderState.UNLOADED):
            assert manage("unload", "parrot", "--worker", "one")[-1] == "It is unloaded."

    def test_what_was_loaded_is_shown_with_its_time_and_memory(self, valkey):
        model = hosted("second", load_seconds=2.34, weights_bytes=3 * 2**20, memory_bytes=5 * 2**20)
        beat(valkey, "two", model, memory_bytes=2**30)
        line = manage("show", "second")[-1]
        for part in ("loaded in 2.3 s", "weights 3 MiB", "taken by loading 5 MiB", "process 1.0 GiB"):
            assert part in line
        beat(valkey, "two", replace(model, asleep=True, load_seconds=0.01))
        client.reset()  # statuses are kept for half a second
        line = manage("show", "second")[-1]
        assert "asleep" in line
        assert "loaded in under 0.1 s" in line

    def test_what_fails_ends_the_command(self, valkey):
        with Obedient(valkey, OrderState.FAILED), pytest.raises(CommandError, match="It is failed"):
            manage("load", "second")

    @pytest.mark.parametrize("arguments", [("load", "nobody"), ("unload", "second"), ("unload", "nobody")])
    def test_what_cannot_be_told_ends_the_command(self, arguments):
        with pytest.raises(CommandError, match=r"no chat model 'nobody'|No worker has"):
            manage(*arguments)

    def test_nobody_waits_for_ever(self, valkey):
        with pytest.raises(CommandError, match=r"Not done after 0\.05 seconds"):
            manage("load", "second", "--timeout", "0.05")

    @pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan"])
    def test_a_time_that_is_none_is_refused(self, seconds):
        with pytest.raises(CommandError, match="--timeout"):
            manage("load", "second", f"--timeout={seconds}")
