"""What requests may ask beyond a plain answer, and the answers that are more than text."""

import json
from typing import Any

import pytest

from tests.workers.support import make_request
from workers.protocol import (
    Ability,
    ChatMessage,
    Constraint,
    Delta,
    DetokenizeRequest,
    Embedded,
    EmbeddingRequest,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    Gathering,
    GenerationRequest,
    HostedModel,
    ProtocolError,
    Report,
    Tokenized,
    TokenizeRequest,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolCallDelta,
    TopLogprob,
    decode_event,
    encode_event,
    event_to_dict,
    join_deltas,
    lack,
    needs,
    read_request,
)

CALL = ToolCall("call_1", "weather", '{"city": "Köln"}')
TOOL = Tool("weather", "The weather of a city.", '{"type": "object"}', strict=True)
LOGPROB = TokenLogprob("é", -0.25, (195, 169), (TopLogprob("e", -1.5, (101,)), TopLogprob("", -9999.0)))
TALK = (
    ChatMessage("user", "Look", images=("data:image/png;base64,AAAA",)),
    ChatMessage("assistant", "", tool_calls=(CALL,), reasoning="Hm."),
    ChatMessage("tool", "rain", tool_call_id="call_1", name="weather"),
)
EVERYTHING = make_request(
    messages=TALK,
    tools=(TOOL,),
    tool_choice="required",
    parallel_tool_calls=False,
    constraint=Constraint("json_schema", '{"type": "object"}'),
    reasoning_effort="low",
    top_k=5,
    min_p=0.1,
    repetition_penalty=1.2,
    logit_bias=((5, -100.0), (7, 2.5)),
    logprobs=True,
    top_logprobs=3,
)
OTHERS: list[Any] = [
    EmbeddingRequest("a", "m", ("text", (1, 2, 3), ""), 12.5, dimensions=64, report_task="t", report_key="k"),
    TokenizeRequest("a", "m", 12.5, prompt="text", add_special_tokens=False),
    TokenizeRequest("a", "m", 12.5, messages=TALK, tools=(TOOL,)),
    DetokenizeRequest("a", "m", (1, 2, 3), 12.5),
]
RICH_EVENTS = [
    Delta("", reasoning="Hm."),
    Delta("", tool_calls=(ToolCallDelta(0, "call_1", "weather", ""), ToolCallDelta(0, arguments='{"c'))),
    Delta("é", logprobs=(LOGPROB, TokenLogprob("x", None))),
    Embedded(7, ("AAAAAA==", "AACAPw==")),
    Tokenized((1, 2), ("a", "b")),
    Failed(ErrorCode.INVALID_REQUEST, "No.", param="logprobs"),
]


def stored(event) -> dict[bytes, bytes]:
    """The event as redis-py hands it back."""
    fields = encode_event(event)
    return dict(zip(fields[::2], fields[1::2], strict=True))


@pytest.mark.parametrize("event", RICH_EVENTS, ids=lambda event: event.type)
def test_it_reads_a_rich_event_as_it_was_written(event):
    assert decode_event(stored(event)) == event
    json.dumps(event_to_dict(event))


def test_text_alone_travels_without_json():
    assert encode_event(Delta("Hi")) == (b"t", b"delta", b"d", b"Hi")
    assert event_to_dict(Delta("Hi")) == {"type": "delta", "text": "Hi"}


def test_it_reads_a_rich_delta_of_a_newer_writer():
    data = json.loads(stored(RICH_EVENTS[2])[b"j"])
    data["new"] = data["logprobs"][0]["new"] = {"x": 1}
    assert decode_event({b"t": b"delta", b"j": json.dumps(data).encode()}) == RICH_EVENTS[2]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"text": 5},
        {"text": "", "logprobs": [{}]},
        {"text": "", "logprobs": "many"},
        {"text": "", "tool_calls": [{"index": "0"}]},
        {"text": "", "reasoning": None},
    ],
    ids=str,
)
def test_it_refuses_a_malformed_delta(data):
    with pytest.raises(ProtocolError):
        decode_event({b"t": b"delta", b"j": json.dumps(data).encode()})


def test_it_reads_a_request_for_everything_as_it_was_written():
    assert GenerationRequest.from_json(EVERYTHING.to_json()) == EVERYTHING
    assert read_request(EVERYTHING.to_json().encode()) == EVERYTHING


@pytest.mark.parametrize("prompt", ["Once upon", (1, 2, 3)], ids=["text", "tokens"])
def test_it_reads_a_raw_prompt(prompt):
    request = make_request(messages=(), prompt=prompt, suffix="The end", echo=True)
    assert read_request(request.to_json()) == request


@pytest.mark.parametrize("request_", OTHERS, ids=lambda request: request.kind)
def test_it_reads_each_kind_of_request(request_):
    assert read_request(request_.to_json()) == request_


@pytest.mark.parametrize("request_", OTHERS, ids=lambda request: request.kind)
def test_a_reader_that_only_knows_replies_refuses_the_other_kinds(request_):
    with pytest.raises(ProtocolError):
        GenerationRequest.from_json(request_.to_json())


@pytest.mark.parametrize("kind", ["paint", 5, ["embed"]])
def test_a_kind_that_is_not_known_is_refused(kind):
    with pytest.raises(ProtocolError, match="unknown kind"):
        read_request(json.dumps({**json.loads(OTHERS[0].to_json()), "kind": kind}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("constraint", {"kind": "poem"}),
        ("constraint", "json"),
        ("tools", [{"description": "nameless"}]),
        ("tools", {}),
        ("tool_choice", "perhaps"),
        ("prompt", ["a"]),
        ("prompt", 5),
        ("parallel_tool_calls", "yes"),
        ("sampling", {"logit_bias": [[1]]}),
        ("sampling", {"logit_bias": {"1": 2}}),
        ("messages", [{"role": "user", "content": "x", "images": [5]}]),
        ("messages", [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]),
    ],
)
def test_it_refuses_a_mistyped_wish(field, value):
    with pytest.raises(ProtocolError) as caught:
        read_request(json.dumps({**json.loads(EVERYTHING.to_json()), field: value}))
    assert "perhaps" not in str(caught.value)


def test_an_older_senders_request_asks_for_nothing_new():
    data = json.loads(make_request("Hi").to_json())
    old = {"id", "chat_model", "messages", "deadline", "sampling", "report_task", "report_key", "prefix"}
    data = {name: value for name, value in data.items() if name in old}
    data["messages"] = [{"role": "user", "content": "Hi"}]
    read = read_request(json.dumps(data))
    assert isinstance(read, GenerationRequest)
    assert needs(read) == [("messages", Ability.CHAT)]
    assert read.resumable


# --- abilities ---------------------------------------------------------------------------------------------


ASKING: list[tuple[dict[str, Any], str, Ability]] = [
    ({"messages": (), "prompt": "x"}, "prompt", Ability.COMPLETION),
    ({"messages": (), "prompt": (1,)}, "prompt", Ability.TOKEN_PROMPTS),
    ({"messages": (), "prompt": "x", "suffix": "y"}, "suffix", Ability.SUFFIX),
    ({"messages": TALK[:1]}, "messages", Ability.VISION),
    ({"tools": (TOOL,)}, "tools", Ability.TOOLS),
    ({"reasoning_effort": "high"}, "reasoning_effort", Ability.REASONING),
    ({"constraint": Constraint("json_object")}, "response_format", Ability.JSON_OBJECT),
    ({"constraint": Constraint("json_schema", "{}")}, "response_format", Ability.JSON_SCHEMA),
    ({"constraint": Constraint("grammar", "root")}, "response_format", Ability.GRAMMAR),
    ({"constraint": Constraint("regex", "a+")}, "response_format", Ability.REGEX),
    ({"logprobs": True}, "logprobs", Ability.LOGPROBS),
    (
        {"messages": (), "prompt": "x", "echo": True, "logprobs": True},
        "logprobs",
        Ability.PROMPT_LOGPROBS,
    ),
    ({"logit_bias": ((1, 1.0),)}, "logit_bias", Ability.LOGIT_BIAS),
    ({"top_k": 0}, "top_k", Ability.TOP_K),
    ({"min_p": 0.0}, "min_p", Ability.MIN_P),
    ({"repetition_penalty": 1.0}, "repetition_penalty", Ability.REPETITION_PENALTY),
]


@pytest.mark.parametrize(("values", "param", "ability"), ASKING, ids=lambda value: str(value)[:40])
def test_what_a_chat_model_cannot_do_is_named(values, param, ability):
    request = make_request("Hi", **values)
    others = tuple(other.value for other in Ability if other is not ability)
    missing = lack(request, HostedModel("parrot", "scripted", abilities=others))
    assert missing is not None
    assert missing.param == param
    assert "parrot cannot" in missing.message
    assert f"'{param}'" in missing.message
    assert lack(request, HostedModel("parrot", "scripted", abilities=(*others, ability.value))) is None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"tools": (TOOL,), "tool_choice": "none"},
        {"reasoning_effort": "none"},
        {"temperature": 0.5, "top_p": 0.5, "seed": 1, "stop": ("x",), "presence_penalty": 1.0},
    ],
    ids=str,
)
def test_a_plain_request_needs_no_more_than_chat(values):
    assert lack(make_request("Hi", **values), HostedModel("parrot", "scripted")) is None


@pytest.mark.parametrize("request_", OTHERS, ids=lambda request: request.kind)
def test_the_other_kinds_need_an_ability_of_their_own(request_):
    missing = lack(request_, HostedModel("m", "scripted"))
    assert missing is not None
    assert missing.param == "model"


def test_only_a_plain_reply_can_be_gone_on_with():
    assert make_request("Hi").resumable
    assert make_request(messages=(), prompt="x").resumable
    for values in (
        {"tools": (TOOL,)},
        {"constraint": Constraint("json_object")},
        {"logprobs": True},
        {"echo": True},
        {"reasoning_effort": "low"},
    ):
        assert not make_request("Hi", **values).resumable


# --- putting deltas together -------------------------------------------------------------------------------


def test_it_joins_deltas_that_bring_the_same_kind_of_news():
    thought = [Delta("", reasoning="H"), Delta("", reasoning="m")]
    said = [Delta("a"), Delta("b")]
    called = [
        Delta("", tool_calls=(ToolCallDelta(0, "1", "f"),)),
        Delta("", tool_calls=(ToolCallDelta(0, arguments="{}"),)),
    ]
    likely = [Delta("x", logprobs=(LOGPROB,)), Delta("y", logprobs=(LOGPROB,))]

    assert join_deltas([*thought, *said, *called, *likely]) == [
        Delta("", reasoning="Hm"),
        Delta("ab"),
        Delta("", tool_calls=(ToolCallDelta(0, "1", "f"), ToolCallDelta(0, arguments="{}"))),
        Delta("xy", logprobs=(LOGPROB, LOGPROB)),
    ]
    assert join_deltas([]) == []


def test_it_gathers_a_reply_from_its_deltas():
    whole = Gathering("Be")
    for delta in (
        Delta("fore"),
        Delta("", reasoning="Hm"),
        Delta(
            "", tool_calls=(ToolCallDelta(1, "call_2", "time"), ToolCallDelta(0, "call_1", "weather", "{"))
        ),
        Delta("", tool_calls=(ToolCallDelta(0, arguments="}"), ToolCallDelta(1, arguments="{}"))),
        Delta("!", logprobs=(LOGPROB,)),
    ):
        whole.add(delta)

    assert (whole.text, whole.reasoning) == ("Before!", "Hm")
    assert whole.tool_calls == (ToolCall("call_1", "weather", "{}"), ToolCall("call_2", "time", "{}"))
    assert whole.logprobs == [LOGPROB]

    report = Report.of(make_request("Hi"), whole, Finished(FinishReason.STOP), "w")
    assert (report.text, report.reasoning, report.tool_calls) == ("Before!", "Hm", whole.tool_calls)
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
