"""From a worker's events to a response's: types, order, numbers, items."""

from itertools import pairwise
from typing import Any

from workers.api.responses.turn import Turn
from workers.protocol import (
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    Started,
    StreamEvent,
    ToolCallDelta,
    Usage,
)

BODY = {"id": "resp_1", "status": "in_progress", "output": []}
STOP = Finished(FinishReason.STOP, Usage(5, 2, 3))


def run(*events: StreamEvent) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    turn = Turn(BODY, "1")
    found = turn.begin()
    for event in events:
        found += turn.take(event)
    assert turn.ended
    return found, turn.body


def names(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


def test_a_text_is_one_message_with_openais_events_in_order():
    found, body = run(Started("w"), Delta("Hel"), Delta("lo"), STOP)

    assert names(found) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert found[2]["item"]["content"] == [], "it shows what it was then"
    assert found[-1]["response"] == body
    assert body["status"] == "completed"
    assert body["output"] == [
        {
            "id": "msg_1_0", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
        }
    ]  # fmt: skip
    assert body["usage"] == {
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 7,
    }  # fmt: skip


def test_thoughts_are_an_item_of_their_own_in_front():
    found, body = run(Delta("", reasoning="Hm"), Delta("", reasoning="m."), Delta("Yes"), STOP)

    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    assert body["output"][0]["content"] == [{"type": "reasoning_text", "text": "Hmm."}]
    assert "reasoning_text.delta" in names(found)
    done = names(found).index("output_item.done")
    assert done < names(found).index("output_text.delta")


def test_function_calls_are_items_with_their_arguments():
    found, body = run(
        Delta("", tool_calls=(ToolCallDelta(0, "call_a", "weather", '{"ci'),)),
        Delta(
            "", tool_calls=(ToolCallDelta(0, arguments='ty": "Rome"}'), ToolCallDelta(1, "call_b", "time"))
        ),
        Delta("", tool_calls=(ToolCallDelta(1, arguments="{}"),)),
        STOP,
    )

    calls = [(i["type"], i["call_id"], i["name"], i["arguments"], i["status"]) for i in body["output"]]
    assert calls == [
        ("function_call", "call_a", "weather", '{"city": "Rome"}', "completed"),
        ("function_call", "call_b", "time", "{}", "completed"),
    ]
    deltas = [e for e in found if e["type"] == "response.function_call_arguments.delta"]
    assert "".join(e["delta"] for e in deltas if e["output_index"] == 0) == '{"city": "Rome"}'
    assert [e["name"] for e in found if e["type"] == "response.function_call_arguments.done"] == [
        "weather",
        "time",
    ]


def test_a_cut_reply_is_incomplete_and_says_why():
    found, body = run(Delta("Hel"), Finished(FinishReason.LENGTH))

    assert names(found)[-1] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["output"][0]["status"] == "incomplete"


def test_a_failure_keeps_what_was_said_and_names_the_error():
    found, body = run(Delta("Hel"), Failed(ErrorCode.WORKER_LOST, "The worker died."))

    assert names(found)[-1] == "failed"
    assert body["error"] == {"code": "worker_lost", "message": "The worker died."}
    assert body["output"][0]["content"][0]["text"] == "Hel"


def test_a_cancelled_one_says_so():
    assert run(Delta("Hel"), Finished(FinishReason.CANCELLED))[1]["status"] == "cancelled"


def test_silence_is_an_empty_message():
    found, body = run(STOP)

    assert body["output"][0]["content"][0]["text"] == ""
    assert names(found)[-2:] == ["output_item.done", "completed"]


def test_the_same_events_have_the_same_numbers_each_time():
    events = (Delta("", reasoning="a"), Delta("b"), Delta("c"), STOP)

    first, second = run(*events)[0], run(*events)[0]

    assert names(first) == names(second)
    assert all(b["sequence_number"] == a["sequence_number"] + 1 for a, b in pairwise(first))
