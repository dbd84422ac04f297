"""The arena page's websocket, through the whole ASGI application."""

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from arena.models import Battle
from chatsite.accounts.models import User
from tests.arena.battles.conftest import NAMES
from tests.arena.conftest import Page, until
from tests.workers.support import make_request
from workers import follow

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("pair", "control", "_hub"),
]


class ArenaPage(Page):
    """An open arena page. `frames` is everything it ever heard."""

    def __init__(self, cookie: str) -> None:
        super().__init__(cookie, path="/ws/arena/")
        self.frames: list[dict[str, Any]] = []

    async def _receive(self) -> dict[str, Any]:
        frame = await super()._receive()
        self.frames.append(frame)
        return frame

    async def begin(self, text: str = "Count to three.", **fields: Any) -> dict[str, Any]:
        return await self.ask(type="start", client_id=uuid.uuid4().hex, text=text, **fields)

    async def both(self) -> dict[str, str]:
        """Hear events until both sides have ended; the text of each."""
        texts = {"left": "", "right": ""}
        ended: set[str] = set()
        while len(ended) < 2:
            frame = await self.hear()
            if frame["type"] == "waiting":  # on a busy machine
                continue
            assert frame["type"] == "event", frame
            texts[frame["side"]] += frame["text"]
            if "ended" in frame:
                ended.add(frame["side"])
        return texts

    def endings(self) -> dict[str, dict[str, str]]:
        return {frame["side"]: frame["ended"] for frame in self.frames if "ended" in frame}


@pytest.fixture
def arena_of(sign_in) -> Callable[[User], Awaitable[ArenaPage]]:
    async def opened(user: User) -> ArenaPage:
        page = ArenaPage(await sync_to_async(sign_in)(user))
        await page.open()
        return page

    return opened


async def test_it_streams_both_sides_and_never_says_who_writes(player, arena_of):
    page = await arena_of(player)
    accepted = await page.begin()
    texts = await page.both()
    await page.close()

    assert texts == {"left": "One two three.", "right": "One two three."}
    traffic = json.dumps(page.frames)
    battle = await Battle.objects.aget()
    replies = [reply async for reply in battle.sides.values_list("pk", "messages__replies__pk")]
    for secret in (*NAMES, "usage", "timing", "worker", "token", battle.nonce, *map(str, sum(replies, ()))):
        assert secret not in traffic
    assert accepted["battle"]["commitment"] == battle.commitment


async def test_it_shows_a_quick_and_a_slow_side_in_step(player, arena_of, workers_client):
    workers_client.host_script(NAMES[0], "reply=One two three four five.&rate=4")
    page = await arena_of(player)
    await page.begin()
    shown = {"left": "", "right": ""}
    behind, most_behind, pieces = 0, 0, 0
    async for frame in _until_ended(page):
        shown[frame["side"]] += frame["text"]
        pieces += 1
        apart = min(len(shown["left"]), 14) != min(
            len(shown["right"]), 14
        )  # the quick one ends with its 14th
        behind = behind + 1 if apart else 0
        most_behind = max(most_behind, behind)
    await page.close()

    assert sorted(shown.values()) == ["One two three four five.", "One two three."]
    assert pieces > 2  # it came bit by bit
    assert (
        most_behind <= 1
    )  # pieces of one tick come one after the other, so one side is one piece ahead at most


async def _until_ended(page: ArenaPage):
    ended: set[str] = set()
    while len(ended) < 2:
        frame = await page.hear()
        if frame["type"] == "waiting":
            continue
        if "ended" in frame:
            ended.add(frame["side"])
        yield frame


async def test_it_goes_on_with_a_second_turn(player, arena_of):
    page = await arena_of(player)
    accepted = await page.begin()
    await page.both()
    again = await page.ask(
        type="say", client_id=uuid.uuid4().hex, battle=accepted["battle"]["id"], text="And on?"
    )
    assert again["turn"] == 2
    assert (await page.both())["right"] == "One two three."
    await page.close()


async def test_it_tells_one_place_in_the_queue_for_both_sides(player, arena_of, workers_client, monkeypatch):
    held: list[tuple[str, int, str]] = []
    monkeypatch.setattr(follow, "FIRST_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(follow, "PLACE_SECONDS", 0.05)
    release = workers_client.publish
    monkeypatch.setattr(workers_client, "publish", lambda *message: held.append(message))
    for number in "01":  # they stand before one side only; of askers who are even, the lower id is first
        request = make_request(chat_model=NAMES[0], report_task="", id=f"{number:0>32}", asker=number)
        await sync_to_async(workers_client.submit)(request)
    page = await arena_of(player)
    accepted = await page.begin()
    await _until_placed(page, 3)
    await until(lambda: len(held) == 4)
    for message in held[:2]:
        release(*message)
    await _until_placed(page, 1)
    for message in held[2:]:
        release(*message)
    texts = await page.both()
    await page.close()

    assert texts == {"left": "One two three.", "right": "One two three."}
    waiting = [frame for frame in page.frames if frame["type"] == "waiting"]
    about = {"type": "waiting", "battle": accepted["battle"]["id"], "turn": 1}
    assert waiting == [{**about, "position": frame["position"]} for frame in waiting]
    assert len({frame["position"] for frame in waiting}) >= 2


async def _until_placed(page: ArenaPage, position: int) -> None:
    while (await page.hear()).get("position") != position:
        pass


async def test_it_tells_a_page_that_comes_back_only_what_it_lacks(player, arena_of):
    first, second = await arena_of(player), await arena_of(player)
    accepted = await first.begin()
    await first.both()
    await first.close()
    await second.send(type="watch", battle=accepted["battle"]["id"], after={"left": 4, "right": 4})
    assert await second.both() == {"left": "two three.", "right": "two three."}
    await second.close()


async def test_it_explains_a_failed_side_without_naming_it(player, arena_of, workers_client):
    workers_client.host_script(NAMES[0], "reply=a b c&fail_after=1")
    page = await arena_of(player)
    await page.begin()
    await page.both()
    await page.close()
    failed = [ending for ending in page.endings().values() if ending["outcome"] == "failed"]
    assert len(failed) == 1
    assert "could not answer" in failed[0]["message"]
    assert not any(name in json.dumps(page.frames) for name in NAMES)


async def test_it_stops_both_sides(player, arena_of, workers_client):
    for name in NAMES:
        workers_client.host_script(name, "tokens=5000&rate=20")
    page = await arena_of(player)
    accepted = await page.begin()
    while not any(frame["type"] == "event" for frame in page.frames):
        await page._receive()
    await page.send(type="stop", battle=accepted["battle"]["id"])
    while len(page.endings()) < 2:
        await page._receive()
    await page.close()
    assert {ending["outcome"] for ending in page.endings().values()} == {"cancelled"}


async def test_it_shows_another_persons_battle_to_nobody(player, charlie, arena_of):
    mine, theirs = await arena_of(player), await arena_of(charlie)
    accepted = await mine.begin()
    await mine.both()
    for frame in (
        {"type": "watch"},
        {"type": "stop"},
        {"type": "regenerate", "client_id": uuid.uuid4().hex},
        {"type": "say", "client_id": uuid.uuid4().hex, "text": "Hi"},
    ):
        answer = await theirs.ask(battle=accepted["battle"]["id"], **frame)
        assert (answer["type"], answer["code"]) == ("error", "not_found")
    await mine.close()
    await theirs.close()


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        ({"type": "dance"}, "type"),
        ({"type": "start", "client_id": "x", "text": "Hi"}, "client_id"),
        ({"type": "start", "client_id": "wish-0001", "text": 5}, "text"),
        ({"type": "start", "client_id": "wish-0001", "text": "Hi", "mode": "duel"}, "mode"),
        ({"type": "start", "client_id": "wish-0001", "text": "Hi", "settings": {"speed": 1}}, "settings"),
        ({"type": "say", "client_id": "wish-0001", "text": "Hi", "battle": "no"}, "battle"),
        ({"type": "watch", "battle": str(uuid.uuid4()), "after": {"left": -1}}, "after"),
        ({"type": "watch", "battle": str(uuid.uuid4()), "after": {"middle": 1}}, "after"),
    ],
)
async def test_it_names_the_field_of_a_frame_that_is_wrong(player, arena_of, frame, field):
    page = await arena_of(player)
    answer = await page.ask(**frame)
    await page.close()
    assert (answer["type"], answer["field"]) == ("error", field)


async def test_it_asks_for_the_terms_first(alice, arena_of):
    page = await arena_of(alice)
    assert (await page.begin())["code"] == "terms"
    await page.close()
