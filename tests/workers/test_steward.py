"""Chat models that come and go in a worker that runs."""

import json
import threading
import time

import pytest
import redis

from tests.fakes import enter, heartbeat
from tests.workers.support import PATIENCE, Halting, make_request, text_of, wait_until, written
from workers import ledger, orders, steward
from workers.broker import queue_key
from workers.engines import registry
from workers.engines.base import EngineError
from workers.engines.registry import EngineSpec
from workers.engines.scripted import Script, ScriptedEngine
from workers.host import EngineHost
from workers.protocol import Failed, Finished, OrderState, Report, Weights
from workers.steward import Steward, load_family


class Queues:
    """Stands for the consumer: which queues are open, and for how many messages at once."""

    def __init__(self):
        self.slots = {}

    def open(self, queue, slots):
        assert queue not in self.slots
        self.slots[queue] = slots

    def close(self, queue):
        self.slots.pop(queue, None)


class House:
    """A worker "one" with its steward, whose thread does not run: the test says what is done when."""

    def __init__(self, client, *specs, idle_seconds=0.0):
        self.client = client
        self.reports: list[Report] = []
        self.put_back: list[tuple[str, int, str]] = []
        self.handed_over: list[str] = []
        self.threads: list[threading.Thread] = []
        families = [load_family(EngineSpec(name, "scripted", script)) for name, script in specs]
        self.host = EngineHost(
            worker="one",
            engines={name: engine for family in families for name, engine in family.engines.items()},
            client=client,
            report=lambda task, report: self.reports.append(report),
            hand_over=self._hand_over,
            put_back=lambda *message: self.put_back.append(message),
        )
        self.queues = Queues()
        for model in self.host.hosted:
            self.queues.open(f"generate.{model.name}", model.slots)
        self.steward = Steward(self.host, families, client=client, idle_seconds=idle_seconds)
        self.steward._queues = self.queues

    def _hand_over(self, request_id):
        """There is nobody to go on with it."""
        self.handed_over.append(request_id)
        return False

    def load(self, name, checkpoint="", **values):
        weights = Weights(engine="scripted", checkpoint=checkpoint, **values)
        return self.carry_out(orders.give(self.client, worker="one", chat_model=name, weights=weights))

    def unload(self, name):
        return self.carry_out(orders.give(self.client, worker="one", chat_model=name, weights=None))

    def carry_out(self, order):
        assert orders.take(self.client, "one", seconds=1) == order
        self.steward.carry_out(order)
        return orders.look_up(self.client, order.id)

    def ask(self, name, text="Hello there"):
        """What the queue does with a request; the request, whose answer may still be written."""
        request = make_request(text, chat_model=name)
        enter(request)
        thread = threading.Thread(target=self.host.work_on, args=(request.id, 1, name))
        thread.start()
        self.threads.append(thread)
        return request

    def answer(self, name, text="Hello there"):
        request = self.ask(name, text)
        self.threads[-1].join(PATIENCE)
        return text_of(written(self.client, request.id))

    @property
    def names(self):
        return [(model.name, model.asleep) for model in self.host.hosted]

    def close(self):
        self.host.drain()
        for thread in self.threads:
            thread.join(PATIENCE)
        self.host.close()


@pytest.fixture
def house(valkey):
    made = []

    def make(*specs, **values):
        made.append(House(valkey, *specs, **values))
        return made[-1]

    yield make
    for one in made:
        one.close()


class TestLoading:
    def test_it_answers_beside_what_was_there(self, house):
        one = house(("parrot", ""))
        order = one.load("second", "reply=I am new", slots=3)
        assert (order.state, order.changed_at > 0) == (OrderState.READY, True)
        assert "second is loaded by one" in order.message
        assert one.answer("second") == "I am new"
        assert one.answer("parrot") == "Hello there"
        assert one.queues.slots == {"generate.parrot": 64, "generate.second": 3}

    def test_what_cannot_be_loaded_says_why_and_leaves_the_others_serving(self, house):
        one = house(("parrot", ""))
        order = one.load("second", "speed=1")
        assert order.state is OrderState.FAILED
        assert "speed" in order.message
        assert one.names == [("parrot", False)]
        assert one.answer("parrot") == "Hello there"

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"engine_options": "{"}, "no JSON"),
            ({"engine_options": '{"speed": 1}'}, "has no option speed"),
        ],
    )
    def test_options_that_mean_nothing_are_named(self, house, values, said):
        order = house().load("second", **values)
        assert order.state is OrderState.FAILED
        assert said in order.message

    def test_an_engine_that_breaks_down_unexpectedly_is_told_by_its_kind(self, house, monkeypatch, caplog):
        def explode(spec):
            raise RuntimeError("secret")

        monkeypatch.setattr(steward, "load_family", explode)
        order = house().load("second")
        assert order.state is OrderState.FAILED
        assert "RuntimeError" in order.message
        assert "secret" not in order.message

    def test_what_is_there_is_not_loaded_twice(self, house):
        one = house(("parrot", ""))
        order = one.load("parrot")
        assert (order.state, "already" in order.message) == (OrderState.FAILED, True)
        assert one.answer("parrot") == "Hello there"

    def test_a_worker_that_is_being_stopped_loads_nothing(self, house):
        one = house()
        one.host.drain()
        order = one.load("second")
        assert (order.state, "being stopped" in order.message) == (OrderState.FAILED, True)

    def test_it_tells_time_memory_and_checkpoint(self, house):
        one = house()
        one.load("second", "reply=hm")
        (model,) = one.host.hosted
        assert model.checkpoint == "reply=hm"
        assert model.memory_bytes >= 0
        assert model.load_seconds > 0


class TestUnloading:
    def test_it_is_gone_and_the_other_stays(self, house):
        one = house(("parrot", ""), ("second", ""))
        order = one.unload("second")
        assert order.state is OrderState.UNLOADED
        assert one.names == [("parrot", False)]
        assert one.queues.slots == {"generate.parrot": 64}
        assert one.answer("parrot") == "Hello there"

    def test_the_weights_are_freed(self, house, monkeypatch):
        closed = []
        monkeypatch.setattr(ScriptedEngine, "close", lambda self: closed.append(self.hosted.name))
        one = house(("parrot", ""), ("second", ""))
        one.unload("second")
        assert closed == ["second"]

    def test_what_runs_is_finished_first_and_nothing_new_is_taken(self, house, valkey):
        one = house(("slow", ""))
        slow = Halting(name="slow")
        one.host.add({"slow": slow})
        request = one.ask("slow", "one two three four five six seven eight nine ten")
        wait_until(lambda: one.host.running(["slow"]))
        order = orders.give(valkey, worker="one", chat_model="slow", weights=None)
        thread = threading.Thread(target=one.carry_out, args=(order,))
        thread.start()
        wait_until(lambda: one.host.hosted and one.host.hosted[0].draining)
        late = one.ask("slow")
        wait_until(lambda: one.put_back)
        slow.go_on.set()
        thread.join(PATIENCE)
        assert isinstance(written(valkey, request.id)[-1].event, Finished)
        assert one.put_back == [(late.id, 1, "slow")]
        assert ledger.state(valkey, late.id) == "queued"

    def test_what_does_not_end_in_time_is_handed_over(self, house, valkey, monkeypatch):
        monkeypatch.setattr(steward, "DRAIN_SECONDS", 0.05)
        one = house(("endless", "tokens=100000&rate=50"))
        request = one.ask("endless")
        wait_until(lambda: one.host.running(["endless"]))
        assert one.unload("endless").state is OrderState.UNLOADED
        assert one.handed_over == [request.id]
        assert isinstance(written(valkey, request.id)[-1].event, Failed)  # there was nobody to go on with it

    def test_what_cannot_be_stopped_may_be_given_up_later(self, house, valkey, monkeypatch):
        monkeypatch.setattr(steward, "DRAIN_SECONDS", 0.01)
        monkeypatch.setattr(steward, "STOP_SECONDS", 0.01)
        one = house(("parrot", ""))
        one.host._entering["parrot"] += 1
        order = one.unload("parrot")
        assert (order.state, "cannot be stopped" in order.message) == (OrderState.FAILED, True)
        assert one.host.hosted[0].draining
        one.host._entering["parrot"] -= 1
        assert one.unload("parrot").state is OrderState.UNLOADED
        assert one.names == []

    def test_what_is_not_there_cannot_be_given_up(self, house):
        order = house(("parrot", "")).unload("second")
        assert (order.state, order.message) == (OrderState.FAILED, "one has no second.")

    def test_the_last_one_may_go_and_another_come(self, house):
        one = house(("parrot", ""))
        one.unload("parrot")
        assert one.names == []
        one.load("parrot", "reply=back again")
        assert one.answer("parrot") == "back again"


class Base(ScriptedEngine):
    """Stands for the transformers engine: weights that adapters are put over."""

    made: list["Base"] = []

    def __init__(self, spec):
        super().__init__(spec.name, Script.parse(""))
        self.adapters = {name: Over(self, name) for name, _ in spec.transformers.adapters}
        self.closed = False
        Base.made.append(self)

    def adapted(self):
        return dict(self.adapters)

    def adapt(self, name, source):
        if source == "broken":
            raise EngineError(f"adapter {name}: {source} cannot be put over this base.")
        self.adapters[name] = Over(self, name)
        return self.adapters[name]

    def close(self):
        self.closed = True


class Over(ScriptedEngine):
    def __init__(self, base, name):
        super().__init__(name, Script.parse(f"reply=I am {name}"))
        self.base = base

    def close(self):
        del self.base.adapters[self.hosted.name]


class TestAdapters:
    @pytest.fixture(autouse=True)
    def torch(self, monkeypatch):
        monkeypatch.setattr(Base, "made", [])
        monkeypatch.setitem(registry.FACTORIES, "transformers", Base)

    def load(self, one, name, **options):
        weights = Weights("transformers", "/srv/base", engine_options=json.dumps(options))
        return one.carry_out(orders.give(one.client, worker="one", chat_model=name, weights=weights))

    def test_they_share_the_base_that_is_there(self, house):
        one = house()
        self.load(one, "base")
        assert self.load(one, "mine", adapter="/mine").state is OrderState.READY
        assert self.load(one, "yours", adapter="/yours").state is OrderState.READY
        assert len(Base.made) == 1
        assert [one.answer("mine"), one.answer("yours")] == ["I am mine", "I am yours"]
        assert one.answer("base") == "Hello there"

    def test_one_that_does_not_fit_leaves_the_others(self, house):
        one = house()
        self.load(one, "base")
        assert self.load(one, "mine", adapter="broken").state is OrderState.FAILED
        assert one.names == [("base", False)]
        assert one.answer("base") == "Hello there"

    def test_each_may_go_by_itself_and_the_weights_go_with_the_last(self, house):
        one = house()
        self.load(one, "base")
        self.load(one, "mine", adapter="/mine")
        self.load(one, "yours", adapter="/yours")
        (weights,) = Base.made
        one.unload("mine")
        assert list(weights.adapters) == ["yours"]
        one.unload("base")
        assert one.names == [("yours", False)]
        assert one.answer("yours") == "I am yours"
        assert not weights.closed
        one.unload("yours")
        assert (one.names, weights.closed) == ([], True)

    def test_they_sleep_and_wake_together(self, house, valkey):
        one = house(idle_seconds=0.05)
        self.load(one, "base")
        self.load(one, "mine", adapter="/mine")
        time.sleep(0.06)
        one.steward.look_after_sleepers()
        assert one.names == [("base", True), ("mine", True)]
        assert Base.made[0].closed
        valkey.rpush(queue_key("mine"), "a message")
        one.steward.look_after_sleepers()
        assert one.names == [("base", False), ("mine", False)]
        assert [one.answer("base"), one.answer("mine")] == ["Hello there", "I am mine"]

    def test_one_may_be_loaded_over_a_base_that_sleeps(self, house):
        one = house(idle_seconds=0.05)
        self.load(one, "base")
        time.sleep(0.06)
        one.steward.look_after_sleepers()
        assert self.load(one, "mine", adapter="/mine").state is OrderState.READY
        assert one.names == [("base", False), ("mine", False)]


class TestSleeping:
    def rest(self, one):
        time.sleep(0.06)
        one.steward.look_after_sleepers()

    def test_what_nobody_asks_for_sleeps_and_still_counts_as_served(self, house):
        one = house(("parrot", ""), idle_seconds=0.05)
        self.rest(one)
        assert one.names == [("parrot", True)]
        assert one.queues.slots == {}

    def test_nothing_sleeps_when_nobody_wants_that(self, house):
        one = house(("parrot", ""))
        self.rest(one)
        assert one.names == [("parrot", False)]

    def test_what_runs_does_not_sleep(self, house):
        one = house(("endless", "tokens=100000&rate=50"), idle_seconds=0.05)
        one.ask("endless")
        wait_until(lambda: one.host.running(["endless"]))
        self.rest(one)
        assert one.names == [("endless", False)]

    def test_a_request_wakes_it(self, house, valkey):
        one = house(("parrot", "reply=awake"), idle_seconds=0.05)
        self.rest(one)
        one.steward.look_after_sleepers()
        assert one.names == [("parrot", True)]
        valkey.rpush(queue_key("parrot"), "a message")
        one.steward.look_after_sleepers()
        assert one.names == [("parrot", False)]
        assert one.queues.slots == {"generate.parrot": 64}
        assert one.answer("parrot") == "awake"

    def test_it_sleeps_on_while_another_worker_is_awake(self, house, valkey):
        one = house(("parrot", ""), idle_seconds=0.05)
        self.rest(one)
        heartbeat("two", "parrot")
        valkey.rpush(queue_key("parrot"), "a message")
        one.steward.look_after_sleepers()
        assert one.names == [("parrot", True)]

    def test_one_of_two_sleepers_is_enough(self, house, valkey):
        one = house(("parrot", ""), idle_seconds=0.05)
        self.rest(one)
        valkey.set("chatsite:waking:parrot", "two")
        valkey.rpush(queue_key("parrot"), "a message")
        one.steward.look_after_sleepers()
        assert one.names == [("parrot", True)]

    def test_what_cannot_be_loaded_again_is_served_no_more(self, house, valkey, monkeypatch):
        def gone(spec):
            raise EngineError("the file is gone.")

        one = house(("parrot", ""), ("second", ""), idle_seconds=0.05)
        self.rest(one)
        monkeypatch.setattr(steward, "load_family", gone)
        valkey.rpush(queue_key("parrot"), "a message")
        one.steward.look_after_sleepers()
        assert one.names == [("second", True)]

    def test_an_order_wakes_it_too(self, house):
        one = house(("parrot", "reply=old"), idle_seconds=0.05)
        self.rest(one)
        assert one.load("parrot", "reply=new").state is OrderState.READY
        assert one.answer("parrot") == "old"

    def test_a_sleeper_can_be_given_up(self, house):
        one = house(("parrot", ""), idle_seconds=0.05)
        self.rest(one)
        assert one.unload("parrot").state is OrderState.UNLOADED
        assert one.names == []


class TestTheThread:
    def test_news_of_an_order_waits_for_the_broker(self, house, monkeypatch):
        monkeypatch.setattr(steward, "RETRY_SECONDS", 0.01)
        tell, failures = orders.tell, iter([ConnectionError("away"), TimeoutError("away")])

        def sometimes(*arguments):
            for error in failures:
                raise redis.ConnectionError(str(error))
            return tell(*arguments)

        monkeypatch.setattr(orders, "tell", sometimes)
        assert house().load("second").state is OrderState.READY

    def test_it_obeys_and_outlives_an_error(self, house, valkey, monkeypatch):
        monkeypatch.setattr(steward, "TICK_SECONDS", 0.05)
        monkeypatch.setattr(steward, "RETRY_SECONDS", 0.01)
        one = house(("parrot", ""))
        stumbles: list[bool] = []

        def stumble():
            stumbles.append(True)
            if len(stumbles) == 1:
                raise ValueError("secret")

        monkeypatch.setattr(one.steward, "look_after_sleepers", stumble)
        one.steward.start(one.queues)
        wait_until(lambda: stumbles, 90)
        order = orders.give(
            valkey, worker="one", chat_model="second", weights=Weights("scripted", "reply=hm")
        )
        wait_until(lambda: (seen := orders.look_up(valkey, order.id)) and seen.state.ended)
        assert one.answer("second") == "hm"
        one.steward.stop()
