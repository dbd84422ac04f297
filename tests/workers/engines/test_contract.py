"""What `workers.engines.base.Engine` promises, asked of every engine that runs on any machine."""

import threading
import time
from typing import Any

from tests.workers.engines.conftest import CONTEXT, SLOTS, Asked
from tests.workers.support import at_once, make_request
from workers.engines.base import StopSignal
from workers.protocol import ChatMessage, Delta, ErrorCode, Failed, Finished, FinishReason

# Short, since llama.cpp reads each prompt anew; with more words than the tests ask for.
COUNT = "Count from 1 to 100: 1, 2, 3, 4, 5,"
STORY = "Tell me a story about a dog, a cat and a mouse that live in a small house by the sea, please."
# With a seed llama.cpp reads the prompt anew, so that a request alone in the engine always answers alike.
GREEDY: dict[str, Any] = {"temperature": 0.0, "seed": 1}


def test_it_says_deltas_and_then_how_it_ended(asked: Asked):
    answer = asked.ask("Say hello.", **GREEDY, max_tokens=40)
    assert answer.text
    assert all(answer.deltas), "an empty delta says nothing"
    assert answer.reason in {"stop", "length"}
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens >= len(answer.deltas) - 1
    assert answer.last.timing.first_token is not None
    assert 0 < answer.last.timing.first_token <= answer.last.timing.total


def test_it_describes_itself(asked: Asked):
    assert asked.engine.hosted.slots == SLOTS
    assert asked.engine.hosted.context_length == CONTEXT
    assert asked.engine.hosted.name in {"smollm2", "parrot"}


def test_it_makes_no_more_tokens_than_asked_for(asked: Asked):
    for limit in (1, 2, 7):
        answer = asked.ask(COUNT, **GREEDY, max_tokens=limit)
        assert answer.reason == "length"
        assert answer.usage.completion_tokens == limit


def test_temperature_zero_with_a_seed_repeats(asked: Asked):
    answers = [asked.ask(COUNT, **GREEDY, max_tokens=16) for _ in range(3)]
    assert answers[0].text
    assert {answer.text for answer in answers} == {answers[0].text}


def test_a_seed_repeats(asked: Asked):
    answers = [asked.ask("Tell me a story.", temperature=1.0, seed=11, max_tokens=16) for _ in range(3)]
    assert {answer.text for answer in answers} == {answers[0].text}


def test_no_part_of_a_stop_string_is_heard(asked: Asked):
    whole = asked.ask(STORY, **GREEDY, max_tokens=16).text
    assert len(whole) >= 16
    middle = len(whole) // 2
    for begin, length in ((1, 1), (3, 7), (middle, 3), (middle - 4, 9), (len(whole) - 6, 5)):
        stop = whole[begin : begin + length]
        answer = asked.ask(STORY, **GREEDY, max_tokens=16, stop=(stop, "never said"))
        assert answer.reason == "stop"
        assert answer.text == whole[: whole.index(stop)], stop


def test_what_only_looks_like_a_stop_string_is_heard(asked: Asked):
    whole = asked.ask(STORY, **GREEDY, max_tokens=12)
    almost = (whole.text[2:6] + "\x01", whole.text[-3:] + "\x01")
    answer = asked.ask(STORY, **GREEDY, max_tokens=12, stop=almost)
    assert (answer.text, answer.reason, answer.usage) == (whole.text, whole.reason, whole.usage)


def test_no_character_is_split(asked: Asked):
    for text in ("Repeat after me: 😀👩‍👩‍👧🇨🇭 你好世界 日本語", "用中文写一首关于月亮的诗。🌙🌕"):
        answer = asked.ask(text, temperature=0.7, seed=3, max_tokens=24)
        for delta in answer.deltas:
            assert "\ufffd" not in delta
            delta.encode()
        if not asked.real:
            assert answer.text == text


def test_a_stop_is_heard_within_a_step(asked: Asked):
    stop = StopSignal()
    events = asked.stream(make_request(COUNT * 5, **GREEDY, max_tokens=500), stop)
    heard = [next(events), next(events)]
    assert all(isinstance(event, Delta) for event in heard)
    stop.set("cancelled")
    *rest, last = events
    assert isinstance(last, Finished)
    assert last.reason is FinishReason.CANCELLED
    assert len(rest) < 20
    assert 2 <= last.usage.completion_tokens <= len(heard) + len(rest) + 3


def test_a_request_stopped_beforehand_says_nothing(asked: Asked):
    stop = StopSignal()
    stop.set("cancelled")
    answer = asked.answer(make_request(COUNT, max_tokens=100), stop)
    assert answer.reason == "cancelled"
    assert len(answer.text) < 20


def busy(asked: Asked) -> float:
    """Seconds that as many requests as there are slots, and one more, take."""
    began = time.monotonic()
    answers = at_once(SLOTS + 1, lambda number: asked.ask(f"Say {number}.", **GREEDY, max_tokens=4))
    assert all(answer.reason in {"stop", "length"} for answer in answers)
    return time.monotonic() - began


def test_a_stopped_request_frees_its_slot(asked: Asked):
    for _ in range(SLOTS + 1):
        stop = StopSignal()
        events = asked.stream(make_request(COUNT, **GREEDY, max_tokens=1000), stop)
        next(events)
        stop.set("cancelled")
        list(events)
    assert busy(asked) < 60  # those that were asked for a thousand tokens would take longer


def test_a_request_that_nobody_reads_any_more_frees_its_slot(asked: Asked):
    for _ in range(SLOTS + 1):
        stop = StopSignal()
        events = asked.stream(make_request(COUNT, **GREEDY, max_tokens=1000), stop)
        next(events)
        events.close()
        assert not stop.is_set(), "the signal is the caller's"
    assert busy(asked) < 60  # those that were asked for a thousand tokens would take longer


def test_a_conversation_that_is_too_long_is_refused_with_the_numbers(asked: Asked):
    answer = asked.ask("word " * (CONTEXT + 500), max_tokens=5)
    assert isinstance(answer.last, Failed)
    assert answer.last.code is ErrorCode.CONTEXT_OVERFLOW
    assert str(CONTEXT) in answer.last.message
    assert "word" not in answer.last.message.replace("words", "")
    assert answer.text == ""


def test_it_goes_on_behind_a_prefix_without_repeating_it(asked: Asked):
    whole = asked.ask(STORY, **GREEDY, max_tokens=24)
    for cut in (whole.deltas[:1], whole.deltas[:5], whole.deltas[:12]):
        prefix = "".join(cut)
        rest = asked.ask(STORY, **GREEDY, max_tokens=24, prefix=prefix)
        if asked.exact:  # a last bit that differs may be another of eight bits
            assert prefix + rest.text == whole.text
        assert rest.usage.prompt_tokens == whole.usage.prompt_tokens
        assert rest.usage.completion_tokens == whole.usage.completion_tokens, "the whole reply's"


def test_a_prefix_that_is_long_enough_already_is_all(asked: Asked):
    whole = asked.ask(STORY, **GREEDY, max_tokens=8)
    answer = asked.ask(STORY, **GREEDY, max_tokens=8, prefix=whole.text)
    assert (answer.text, answer.reason) == ("", "length")
    assert answer.usage.completion_tokens == 8


def test_it_works_on_as_many_as_it_has_slots(asked: Asked):
    """All have had their first word before the first one has its last."""
    started = threading.Barrier(SLOTS)

    def run(number):
        events = asked.stream(make_request(f"{COUNT} {number}", **GREEDY, max_tokens=40))
        first = next(events)
        started.wait(100)
        return [first, *events]

    for events in at_once(SLOTS, run):
        assert isinstance(events[-1], Finished)


def test_answers_do_not_mix(asked: Asked):
    alone = [asked.ask(f"{COUNT} Start at {number}0.", **GREEDY, max_tokens=12) for number in range(SLOTS)]
    assert len({answer.text for answer in alone} | {"other"}) > 1
    together = at_once(
        SLOTS, lambda number: asked.ask(f"{COUNT} Start at {number}0.", **GREEDY, max_tokens=12)
    )
    assert [answer.usage.prompt_tokens for answer in together] == [
        answer.usage.prompt_tokens for answer in alone
    ]
    if (
        not asked.real
    ):  # llama.cpp adds numbers in another order in a larger batch: see docs/design/engines.md
        assert [answer.text for answer in together] == [answer.text for answer in alone]


def test_every_role_is_understood(asked: Asked):
    messages = (
        ChatMessage("system", "You are a parrot."),
        ChatMessage("user", "Hello"),
        ChatMessage("assistant", "Hello!"),
        ChatMessage("user", "Say it again, please."),
    )
    answer = asked.ask(messages=messages, **GREEDY, max_tokens=10)
    assert answer.text
    assert answer.usage.prompt_tokens > asked.ask("Hello", max_tokens=1).usage.prompt_tokens


def test_a_request_without_messages_is_refused(asked: Asked):
    answer = asked.ask(messages=(), max_tokens=5)
    assert answer.reason == ErrorCode.INVALID_REQUEST
