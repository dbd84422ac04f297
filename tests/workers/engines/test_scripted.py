import threading
import time

import pytest

from tests.workers.support import PATIENCE, make_request
from workers.engines.base import EngineError, StopSignal
from workers.engines.scripted import DEFAULT_SLOTS, Script, ScriptedEngine, split_tokens
from workers.protocol import Delta, ErrorCode, Failed, Finished, StreamEvent


def answer(script="", text="one two three", **values):
    engine = ScriptedEngine("parrot", Script.parse(script))
    return list(engine.stream(make_request(text, **values), StopSignal()))


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.mark.parametrize("text", ["", " ", "one", " one  two\n\nthree ", "日本 語\t😀", "\n"])
def test_tokens_make_up_the_text(text):
    assert "".join(split_tokens(text)) == text


def test_it_repeats_what_it_is_told():
    assert text_of(answer()) == "one two three"


def test_it_says_its_reply():
    assert text_of(answer("reply=Hello%20there%2C+you")) == "Hello there, you"


def test_it_counts_words_so_that_a_lost_one_shows():
    assert text_of(answer("tokens=5")) == "w0 w1 w2 w3 w4"
    assert text_of(answer("tokens=0")) == ""


class Clock(StopSignal):
    """Time that passes only while somebody waits for the signal."""

    now = 0.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


def test_it_keeps_its_pace(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    engine = ScriptedEngine("parrot", Script.parse("rate=50&first=0.1&tokens=6"))
    times = [clock.now for _ in engine.stream(make_request(), clock)]
    monkeypatch.undo()
    assert times[:6] == pytest.approx([0.1, 0.12, 0.14, 0.16, 0.18, 0.2])


def test_it_fails_on_purpose():
    events = answer("fail_after=2")
    assert text_of(events) == "one two"
    assert isinstance(events[-1], Failed)
    assert events[-1].code is ErrorCode.ENGINE_FAILURE
    assert events[-1].usage.completion_tokens == 2


def test_silence_ends_when_it_is_stopped():
    stop = StopSignal()
    stop.set("cancelled")
    engine = ScriptedEngine("parrot", Script.parse("first=86400"))
    heard: list[StreamEvent] = []
    listener = threading.Thread(target=lambda: heard.extend(engine.stream(make_request(), stop)), daemon=True)
    listener.start()
    listener.join(PATIENCE)
    (event,) = heard
    assert isinstance(event, Finished)


def test_its_slots_are_the_script_s_or_the_worker_s_or_its_own():
    assert ScriptedEngine("parrot", Script.parse("slots=3"), slots=9).hosted.slots == 3
    assert ScriptedEngine("parrot", slots=9).hosted.slots == 9
    assert ScriptedEngine("parrot").hosted.slots == DEFAULT_SLOTS


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("speed=5", "speed"),
        ("rate=quick", "rate"),
        ("rate=nan", "rate"),
        ("rate=inf", "rate"),
        ("rate=-1", "rate"),
        ("first=-0.1", "first"),
        ("slots=0", "slots"),
        ("slots=40000", "slots"),
        ("slots=", "slots"),
        ("context=0", "context"),
        ("tokens=-1", "tokens"),
        ("fail_after=-1", "fail_after"),
    ],
)
def test_it_refuses_a_script_it_does_not_understand(script, named):
    with pytest.raises(EngineError, match=named):
        Script.parse(script)
