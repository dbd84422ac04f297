import json

import pytest

from tests.workers.support import make_request
from workers.protocol import (
    ChatMessage,
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    HostedModel,
    ProtocolError,
    Report,
    Sampling,
    Started,
    Timing,
    Usage,
    WorkerStatus,
    decode_event,
    encode_event,
    event_to_dict,
)

WEIRD = 'tab\tnew\nline \r\n 日本語 😀 e\u0301 \u2028 \x00 "quotes" \\ <tag>'
USAGE, TIMING = Usage(12, 34, 5), Timing(0.25, 1.5)
EVENTS = [
    Started("worker@host-1", 2),
    Delta(WEIRD),
    Delta(""),
    Finished(FinishReason.STOP, USAGE, TIMING),
    Finished(FinishReason.CANCELLED),
    Failed(ErrorCode.CONTEXT_OVERFLOW, WEIRD, USAGE, TIMING),
    Failed(ErrorCode.NO_WORKER, ""),
]
REPORT = Report("id", "key", WEIRD, "stop", "", "worker", USAGE, TIMING)
STATUS = WorkerStatus(
    "w", (HostedModel("parrot", "scripted", 8192, 4),), "1", "host", 7, 1.5, 2.5, 3, 4.5, 6, draining=True
)


def stored(event) -> dict[bytes, bytes]:
    """The event as redis-py hands it back."""
    fields = encode_event(event)
    return dict(zip(fields[::2], fields[1::2], strict=True))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_it_reads_an_event_as_it_was_written(event):
    assert decode_event(stored(event)) == event


def test_it_reads_every_code_and_reason_as_written():
    for code in ErrorCode:
        assert decode_event(stored(Failed(code, "m"))) == Failed(code, "m")
    for reason in FinishReason:
        assert decode_event(stored(Finished(reason))) == Finished(reason)


def test_it_writes_an_event_as_the_page_is_told():
    assert event_to_dict(Finished(FinishReason.LENGTH, USAGE, TIMING)) == {
        "type": "finished",
        "reason": "length",
        "usage": {"prompt_tokens": 12, "completion_tokens": 34, "cached_tokens": 5},
        "timing": {"first_token": 0.25, "total": 1.5},
        "stop_string": "",
    }


def test_it_ignores_what_a_newer_writer_adds_to_an_event():
    fields = stored(Finished(FinishReason.STOP, USAGE, TIMING))
    data = json.loads(fields[b"j"]) | {"new": 1}
    data["usage"]["new"] = data["timing"]["new"] = {}
    assert decode_event({b"t": b"finished", b"j": json.dumps(data).encode(), b"x": b"y"}) == Finished(
        FinishReason.STOP, USAGE, TIMING
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"t": b"delta"},
        {b"t": b"delta", b"d": b"\xff"},
        {b"t": b"thought", b"j": b"{}"},
        {b"t": b"started", b"j": b"not json"},
        {b"t": b"started", b"j": b"[]"},
        {b"t": b"started", b"j": b'{"attempt": 1}'},
        {b"t": b"started", b"j": b'{"worker": "w", "attempt": "1"}'},
        {b"t": b"finished", b"j": b'{"reason": "stop"}'},
        {b"t": b"finished", b"j": b'{"reason": "bored", "usage": {}, "timing": {}}'},
        {b"t": b"finished", b"j": b'{"reason": "stop", "usage": {"prompt_tokens": "12"}, "timing": {}}'},
        {b"t": b"finished", b"j": b'{"reason": "stop", "usage": {}, "timing": {"total": null}}'},
        {b"t": b"failed", b"j": b'{"code": "stop", "message": "m", "usage": {}, "timing": {}}'},
        {b"t": b"failed", b"j": b'{"code": "deadline", "message": 5, "usage": {}, "timing": {}}'},
    ],
)
def test_it_refuses_what_is_no_event(fields):
    with pytest.raises(ProtocolError):
        decode_event(fields)


@pytest.mark.parametrize(
    "request_",
    [
        make_request(WEIRD),
        make_request("", messages=()),
        make_request(
            messages=tuple(ChatMessage(role, WEIRD) for role in ("system", "user", "assistant")),
            temperature=0.0,
            top_p=1.0,
            max_tokens=1,
            stop=("\n\n", "END", "日"),
            seed=2**40,
            presence_penalty=-2.0,
            frequency_penalty=2.0,
            report_task="arena.record_reply",
            report_key=WEIRD,
            prefix=WEIRD,
        ),
    ],
    ids=["text", "no messages", "everything"],
)
def test_it_reads_a_request_as_it_was_written(request_):
    assert GenerationRequest.from_json(request_.to_json()) == request_
    assert GenerationRequest.from_json(request_.to_json().encode()) == request_


def test_it_reads_a_report_and_a_status_as_written():
    assert Report.from_dict(json.loads(json.dumps(REPORT.to_dict()))) == REPORT
    assert WorkerStatus.from_json(STATUS.to_json()) == STATUS


def test_it_ignores_what_a_newer_sender_adds():
    request = make_request("hi", temperature=0.5)
    data = json.loads(request.to_json()) | {"new": 1}
    data["messages"][0]["new"] = data["sampling"]["new"] = [1]
    assert GenerationRequest.from_json(json.dumps(data)) == request

    report = REPORT.to_dict() | {"new": 1}
    report["usage"]["new"] = 1
    assert Report.from_dict(report) == REPORT

    status = json.loads(STATUS.to_json()) | {"new": 1}
    status["models"][0]["new"] = 1
    assert WorkerStatus.from_json(json.dumps(status)) == STATUS


def test_it_fills_in_what_an_older_sender_leaves_out():
    data = json.loads(make_request("hi").to_json())
    for name in ("report_task", "report_key", "prefix"):
        del data[name]
    data["sampling"] = {}
    read = GenerationRequest.from_json(json.dumps(data))
    assert (read.report_task, read.report_key, read.prefix, read.sampling) == ("", "", "", Sampling())


def change(**changes):
    data = json.loads(make_request("secret words").to_json())
    for name, value in changes.items():
        if value is None:
            del data[name]
        else:
            data[name] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"secret words"',
        "{",
        b"\xff",
        change(id=None),
        change(chat_model=None),
        change(messages=None),
        change(deadline=None),
        change(sampling=None),
        change(id=5),
        change(deadline="soon"),
        change(deadline=True),
        change(messages="secret words"),
        change(messages=["secret words"]),
        change(messages=[{"role": "user"}]),
        change(messages=[{"role": "robot", "content": "secret words"}]),
        change(messages=[{"role": ["user"], "content": "secret words"}]),
        change(messages=[{"role": "user", "content": {"secret words": 1}}]),
        change(sampling=[]),
        change(sampling={"stop": "secret words"}),
        change(sampling={"temperature": "secret words"}),
        change(sampling={"max_tokens": 1.5}),
        change(sampling={"max_tokens": True}),
        change(prefix=["secret words"]),
    ],
)
def test_it_refuses_a_malformed_request_without_quoting_it(text):
    with pytest.raises(ProtocolError) as caught:
        GenerationRequest.from_json(text)
    assert "secret" not in str(caught.value)


def test_it_names_the_field_that_is_wrong():
    with pytest.raises(ProtocolError, match="deadline"):
        GenerationRequest.from_json(change(deadline="soon"))
    with pytest.raises(ProtocolError, match="messages"):
        GenerationRequest.from_json(change(messages=None))


@pytest.mark.parametrize(
    "changes", [{"request_id": None}, {"text": 5}, {"usage": []}, {"timing": {"total": "1"}}]
)
def test_it_refuses_a_malformed_report(changes):
    with pytest.raises(ProtocolError):
        Report.from_dict(REPORT.to_dict() | changes)
    with pytest.raises(ProtocolError):
        Report.from_dict({key: value for key, value in REPORT.to_dict().items() if key not in changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"started_at": "yesterday"},
        {"models": "parrot"},
        {"models": [5]},
        {"models": [{"name": "parrot"}]},
        {"pid": None},
    ],
)
def test_it_refuses_a_malformed_status(changes):
    with pytest.raises(ProtocolError):
        WorkerStatus.from_json(json.dumps(json.loads(STATUS.to_json()) | changes))


def test_half_a_surrogate_pair_can_be_sent():
    # JSON from outside may hold one; UTF-8 cannot, and an error here would come up in a thread that must not die.
    request = make_request("a\ud83db")
    assert GenerationRequest.from_json(request.to_json().encode()).messages[0].content == "a?b"
    assert decode_event(stored(Delta("a\ud83db"))) == Delta("a?b")
    assert decode_event(stored(Failed(ErrorCode.ENGINE_FAILURE, "a\ud83db"))) == Failed(
        ErrorCode.ENGINE_FAILURE, "a?b"
    )


def test_a_report_says_how_it_ended():
    request = make_request("hi")
    finished = Report.of(request, "text", Finished(FinishReason.LENGTH, USAGE, TIMING), "w")
    assert finished == Report(request.id, "key", "text", "length", "", "w", USAGE, TIMING)
    assert not finished.failed

    failed = Report.of(request, "te", Failed(ErrorCode.DEADLINE, "too long", USAGE, TIMING), "w")
    assert failed == Report(request.id, "key", "te", "deadline", "too long", "w", USAGE, TIMING)
    assert failed.failed


def test_a_draining_worker_serves_nothing():
    assert not STATUS.serves("parrot")
    awake = WorkerStatus.from_json(json.dumps(json.loads(STATUS.to_json()) | {"draining": False}))
    assert awake.serves("parrot")
    assert not awake.serves("lorem")
