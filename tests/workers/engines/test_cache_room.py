import threading
import time

from tests.workers.support import PATIENCE, wait_until
from workers.engines.cache_room import HEADROOM, CacheRoom


def wanted():
    return False


class Waiting:
    """A thread that waits for its ticket to come in."""

    def __init__(self, room, ticket, unwanted=wanted):
        self.came_in = None
        self._thread = threading.Thread(target=self._run, args=(room, ticket, unwanted))
        self._thread.start()
        wait_until(lambda: ticket in room._waiting)
        time.sleep(0.02)

    def _run(self, room, ticket, unwanted):
        self.came_in = room.enter(ticket, unwanted)

    def join(self):
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.came_in


def inside(room, tokens):
    ticket = room.ticket(tokens)
    assert room.enter(ticket, wanted)
    return ticket


def test_it_lets_in_what_fits():
    room = CacheRoom(1000, margin=10)
    inside(room, 300)
    inside(room, 300)
    assert not room.alone


def test_it_lets_in_whoever_is_alone():
    room = CacheRoom(1000, margin=10)
    ticket = inside(room, 5000)
    room.grow(ticket, 999)
    assert not ticket.ordered_out
    assert room.alone


def test_it_waits_for_room_and_room_to_grow():
    room = CacheRoom(1000, margin=10)
    first = inside(room, 500)
    second = Waiting(room, room.ticket(490 - HEADROOM + 1))
    assert second.came_in is None
    room.leave(first)
    assert second.join()


def test_it_orders_out_the_youngest_when_it_gets_full():
    room = CacheRoom(1000, margin=10)
    old, young = inside(room, 300), inside(room, 300)
    room.grow(old, 690)
    assert not young.ordered_out
    room.grow(old, 691)
    assert (old.ordered_out, young.ordered_out) == (False, True)
    room.grow(young, 301)  # what it still says before it hears of it
    room.grow(old, 700)
    assert not old.ordered_out

    room.leave(young)
    assert not young.ordered_out
    again = Waiting(room, young)
    assert again.came_in is None
    room.leave(old)
    assert again.join()


def test_the_youngest_may_order_itself_out():
    room = CacheRoom(1000, margin=10)
    old, young = inside(room, 300), inside(room, 300)
    room.grow(young, 800)
    assert (old.ordered_out, young.ordered_out) == (False, True)


def test_it_orders_out_one_after_the_other_and_never_the_last():
    room = CacheRoom(1000, margin=10)
    tickets = [inside(room, 200) for _ in range(4)]
    room.grow(tickets[0], 500)
    assert [ticket.ordered_out for ticket in tickets] == [False, False, False, True]
    room.grow(tickets[0], 700)
    assert [ticket.ordered_out for ticket in tickets] == [False, False, True, True]
    room.grow(tickets[0], 990)
    assert [ticket.ordered_out for ticket in tickets] == [False, True, True, True]
    room.grow(tickets[0], 1000)
    assert not tickets[0].ordered_out


def test_whoever_came_first_comes_in_first():
    room = CacheRoom(1000, margin=10)
    holder = inside(room, 900)
    large = Waiting(room, room.ticket(800))
    small = Waiting(
        room, room.ticket(10)
    )  # would fit, but a stream of small ones would keep the large one out for ever
    assert (large.came_in, small.came_in) == (None, None)
    room.leave(holder)
    assert large.join()
    assert small.join()


def test_one_that_is_not_wanted_any_more_stops_waiting():
    room = CacheRoom(1000, margin=10)
    holder = inside(room, 900)
    stop = threading.Event()
    unwanted = Waiting(room, room.ticket(500), stop.is_set)
    behind = Waiting(room, room.ticket(20))
    stop.set()
    assert unwanted.join() is False
    assert behind.join(), "it does not stand in the way any more"
    room.leave(holder)


def test_leaving_twice_is_once():
    room = CacheRoom(1000, margin=10)
    ticket = inside(room, 500)
    room.leave(ticket)
    room.leave(ticket)
    inside(room, 900)


def test_all_get_to_the_end_however_long_they_are():
    """Twelve requests of which three fit, each growing token by token, out and in again."""
    room = CacheRoom(400, margin=24)
    done, peak, lock, total = [], [0], threading.Lock(), [0]

    def run(number):
        ticket, made = room.ticket(20), 0
        while made < 100:
            assert room.enter(ticket, wanted)
            with lock:
                total[0] += 20 + made
            while made < 100 and not ticket.ordered_out:
                made += 1
                with lock:
                    total[0] += 1
                    peak[0] = max(peak[0], total[0])
                room.grow(ticket, 20 + made)
                time.sleep(0.0005)
            with lock:
                total[0] -= 20 + made
            room.leave(ticket)
        done.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(done) == list(range(12))
    assert peak[0] <= 400
    wait_until(lambda: room.alone)
