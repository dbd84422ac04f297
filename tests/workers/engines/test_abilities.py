"""What engines can do beyond a plain answer, asked of every engine that says it can."""

import base64
import json
import math
from array import array
from typing import Any, cast

import jsonschema
import pytest

from tests.workers.engines.conftest import Asked
from tests.workers.support import make_request
from workers.engines.base import Engine, StopSignal, run
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
    Gathering,
    Tokenized,
    TokenizeRequest,
    Tool,
    ToolCall,
    WorkerRequest,
    lack,
)

GREEDY: dict[str, Any] = {"temperature": 0.0, "seed": 1}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Paris", "Rome"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = Tool("weather", "The weather of a city.", json.dumps(SCHEMA))
TIME = Tool("time", "The time now.", "{}")
TEXT = "Hello there, 你好 🦜!"


class Heard(Gathering):
    """Everything that came of a request."""

    def __init__(self, events: list[Any]) -> None:
        super().__init__()
        *news, self.last = events
        assert isinstance(self.last, Finished | Failed)
        for event in news:
            if isinstance(event, Delta):
                self.add(event)
        self.news = news


def ask(asked: Asked, request: WorkerRequest) -> Heard:
    """What is heard; skips the test of an engine that does not say it can. How it refuses is asked elsewhere."""
    if missing := lack(request, asked.engine.hosted):
        pytest.skip(missing.message)
    return Heard(list(run(asked.engine, request, StopSignal())))


def chat(asked: Asked, text: str = "What is the weather in Paris?", **values: Any) -> Heard:
    return ask(asked, make_request(text, **{**GREEDY, "max_tokens": 60, **values}))


def refused(heard: Heard, param: str) -> bool:
    return (
        isinstance(heard.last, Failed)
        and heard.last.code is ErrorCode.INVALID_REQUEST
        and heard.last.param == param
    )


# --- constraints -------------------------------------------------------------------------------------------


def test_an_answer_is_held_to_a_schema(asked: Asked):
    heard = chat(asked, constraint=Constraint("json_schema", json.dumps(SCHEMA)))
    jsonschema.validate(json.loads(heard.text), SCHEMA)
    assert str(cast("Finished", heard.last).reason) == "stop"


def test_an_answer_is_held_to_json(asked: Asked):
    heard = chat(asked, "Say {} and nothing else.", constraint=Constraint("json_object"), max_tokens=120)
    if str(cast("Finished", heard.last).reason) == "stop":
        assert isinstance(json.loads(heard.text), dict)
    else:
        assert heard.text.startswith("{")


def test_a_token_limit_cuts_an_answer_with_a_schema_and_says_so(asked: Asked):
    heard = chat(asked, constraint=Constraint("json_schema", json.dumps(SCHEMA)), max_tokens=1)
    assert str(cast("Finished", heard.last).reason) == "length"


def test_a_grammar_is_obeyed(asked: Asked):
    heard = chat(asked, constraint=Constraint("grammar", 'root ::= "yes" | "no"'))
    assert heard.text in {"yes", "no"}


def test_what_an_engine_does_not_say_it_can_is_refused_by_name(scripted: Asked):
    request = make_request("Yes?", constraint=Constraint("grammar", 'root ::= "yes" | "no"'))
    assert refused(Heard(list(run(scripted.engine, request, StopSignal()))), "response_format")


def test_a_grammar_that_cannot_be_read_is_refused(llama_cpp: Asked):
    assert refused(chat(llama_cpp, constraint=Constraint("grammar", 'root := "yes')), "response_format")
    assert chat(llama_cpp, max_tokens=2).text, "the engine goes on"


def test_a_schema_that_cannot_be_enforced_is_refused(asked: Asked):
    bad = {"type": "object", "properties": {"a": {"$ref": "#/$defs/nowhere"}}, "required": ["a"]}
    heard = chat(asked, constraint=Constraint("json_schema", json.dumps(bad)))
    assert refused(heard, "response_format")


# --- tools -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tools", [(WEATHER,), (TIME, WEATHER)], ids=["one", "two"])
def test_a_forced_call_fits_the_tool(asked: Asked, tools):
    heard = chat(asked, tools=tools, tool_choice="required", parallel_tool_calls=False, max_tokens=90)
    assert heard.text == ""
    (call,) = heard.tool_calls
    tool = {tool.name: tool for tool in tools}[call.name]
    jsonschema.validate(json.loads(call.arguments), json.loads(tool.parameters))
    assert call.id
    assert isinstance(heard.last, Finished)
    assert heard.last.usage.completion_tokens > 0


def test_tools_that_may_be_called_leave_room_for_words(asked: Asked):
    heard = chat(asked, "Say hello.", tools=(WEATHER,), max_tokens=12)
    assert heard.text or heard.tool_calls


def test_tools_that_must_not_be_called_are_not(asked: Asked):
    heard = chat(asked, "Say hello.", tools=(WEATHER,), tool_choice="none", max_tokens=12)
    assert heard.text
    assert heard.tool_calls == ()


def test_a_call_and_its_result_are_understood(asked: Asked):
    call = ToolCall("call_1", "weather", '{"city": "Paris", "days": 1}')
    messages = (
        ChatMessage("user", "Weather?"),
        ChatMessage("assistant", "", tool_calls=(call,)),
        ChatMessage("tool", "It is sunny.", tool_call_id="call_1"),
    )
    for tools in ((), (WEATHER,)):
        heard = chat(asked, messages=messages, tools=tools, max_tokens=16)
        assert isinstance(heard.last, Finished)
        assert heard.text or heard.tool_calls
        assert asked.real or heard.text == "It is sunny."


def test_an_answer_with_a_schema_beside_tools_is_one_or_the_other(asked: Asked):
    heard = chat(
        asked, tools=(WEATHER,), constraint=Constraint("json_schema", json.dumps(SCHEMA)), max_tokens=90
    )
    assert isinstance(heard.last, Finished)
    for text in [heard.text] if heard.text else [call.arguments for call in heard.tool_calls]:
        jsonschema.validate(json.loads(text), SCHEMA)


def test_a_schema_of_a_tool_that_cannot_be_enforced_is_refused(asked: Asked):
    bad = Tool("f", "", '{"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "required": ["a"]}')
    heard = chat(asked, tools=(bad,), tool_choice="required")
    assert isinstance(heard.last, Failed)
    assert heard.last.code is ErrorCode.INVALID_REQUEST


# --- sampling ----------------------------------------------------------------------------------------------


def test_each_token_has_its_log_probability(asked: Asked):
    plain = chat(asked, TEXT, max_tokens=12)
    heard = chat(asked, TEXT, max_tokens=12, logprobs=True, top_logprobs=3)
    assert heard.text == plain.text
    assert bytes(byte for token in heard.logprobs for byte in token.bytes).decode() == heard.text
    for token in heard.logprobs:
        assert token.logprob is not None
        assert token.logprob <= 0
        assert len(token.top) == 3
        assert token.top[0].logprob == max(other.logprob for other in token.top)


def test_log_probabilities_alone_name_no_other_tokens(asked: Asked):
    heard = chat(asked, max_tokens=3, logprobs=True)
    assert heard.logprobs
    assert all(token.top == () for token in heard.logprobs)


def test_no_log_probability_is_of_a_stop_string(asked: Asked):
    whole = chat(asked, "one two three four five six", max_tokens=12).text
    stop = whole[len(whole) // 2 :][:3]
    heard = chat(asked, "one two three four five six", max_tokens=12, logprobs=True, stop=(stop,))
    spelled = bytes(byte for token in heard.logprobs for byte in token.bytes).decode()
    assert heard.text == whole[: whole.index(stop)]
    assert spelled.startswith(heard.text)
    assert len(spelled) < len(whole)


def test_a_forbidden_token_is_not_said(llama_cpp: Asked):
    first = chat(llama_cpp, max_tokens=1, logprobs=True).logprobs[0]
    (number,) = tokens_of(llama_cpp, first.token)
    other = chat(llama_cpp, max_tokens=1, logprobs=True, logit_bias=((number, -100.0),)).logprobs[0]
    assert other.token != first.token
    wanted = chat(llama_cpp, max_tokens=3, logit_bias=((number, 100.0),))
    assert wanted.text == first.token * 3


@pytest.mark.parametrize("value", [-1, 10**6])
def test_a_bias_on_a_token_that_does_not_exist_is_refused(llama_cpp: Asked, value):
    assert refused(chat(llama_cpp, logit_bias=((value, 1.0),)), "logit_bias")


def test_the_samplers_are_heard(llama_cpp: Asked):
    greedy = chat(llama_cpp, "Count to ten.", max_tokens=8).text
    hot: dict[str, Any] = {"temperature": 2.0, "seed": 3, "max_tokens": 8}
    assert chat(llama_cpp, "Count to ten.", **hot, top_k=1).text == greedy
    assert chat(llama_cpp, "Count to ten.", **hot, min_p=1.0).text == greedy
    assert chat(llama_cpp, "Say a a a a a a a a a a a a.", repetition_penalty=1.9, max_tokens=8).last


# --- raw prompts -------------------------------------------------------------------------------------------


def complete(asked: Asked, prompt: Any, **values: Any) -> Heard:
    return ask(asked, make_request(messages=(), prompt=prompt, **{**GREEDY, "max_tokens": 8, **values}))


def tokens_of(asked: Asked, text: str) -> tuple[int, ...]:
    found = ask(asked, TokenizeRequest("t", "m", 1.0, prompt=text, add_special_tokens=False)).news[0]
    assert isinstance(found, Tokenized)
    return found.tokens


def test_a_raw_prompt_is_gone_on_with_as_text_or_as_tokens(asked: Asked):
    prompt = "One, two, three, four,"
    tokens = tokens_of(asked, prompt)
    as_text = complete(asked, prompt)
    as_tokens = complete(asked, tokens)
    assert as_text.text
    assert as_tokens.text == as_text.text
    assert as_text.last.usage.prompt_tokens == len(tokens)
    assert as_text.last.usage.completion_tokens <= 8


@pytest.mark.parametrize("as_tokens", [False, True], ids=["text", "tokens"])
def test_the_prompt_is_echoed_on_wish(asked: Asked, as_tokens):
    prompt = "One, two, three, four,"
    heard = complete(asked, tokens_of(asked, prompt) if as_tokens else prompt, echo=True)
    assert heard.text.startswith(prompt)
    assert len(heard.text) > len(prompt)
    assert heard.last.usage.completion_tokens <= 8


def test_a_token_that_does_not_exist_is_refused(asked: Asked):
    assert refused(complete(asked, (5, 10**9)), "prompt")


def test_an_empty_prompt_ends_in_one_way_or_the_other(asked: Asked):
    assert isinstance(complete(asked, "").last, Finished | Failed)


def test_a_suffix_is_refused_by_name(asked: Asked):
    assert refused(complete(asked, "One", suffix="three"), "suffix")


# --- tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TEXT, "", "a", " b\n\nc ", "<|im_start|>"])
def test_tokens_become_the_text_they_were(asked: Asked, text):
    tokens = tokens_of(asked, text)
    assert ask(asked, DetokenizeRequest("t", "m", tokens, 1.0)).text == text


def test_messages_are_counted_as_the_engine_counts_them(asked: Asked):
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", TEXT))
    found = ask(asked, TokenizeRequest("t", "m", 1.0, messages=messages)).news[0]
    assert isinstance(found, Tokenized)
    assert len(found.tokens) == len(found.pieces)
    assert len(found.tokens) == chat(asked, messages=messages, max_tokens=1).last.usage.prompt_tokens


def test_tools_count_as_well(llama_cpp: Asked):
    messages = (ChatMessage("user", "Hi"),)
    found = ask(llama_cpp, TokenizeRequest("t", "m", 1.0, messages=messages, tools=(WEATHER,))).news[0]
    assert isinstance(found, Tokenized)
    asked_for = chat(llama_cpp, messages=messages, tools=(WEATHER,), max_tokens=1)
    assert len(found.tokens) == asked_for.last.usage.prompt_tokens


def test_ids_that_do_not_exist_have_no_text(asked: Asked):
    assert refused(ask(asked, DetokenizeRequest("t", "m", (5, 10**9), 1.0)), "tokens")


# --- embeddings --------------------------------------------------------------------------------------------


def embed(asked: Asked, *inputs: Any, **values: Any) -> Heard:
    return ask(asked, EmbeddingRequest("e", "m", inputs, 1.0, **values))


def vectors(heard: Heard) -> list[array]:
    found: dict[int, str] = {}
    for event in heard.news:
        assert isinstance(event, Embedded)
        found |= {event.first + number: vector for number, vector in enumerate(event.vectors)}
    assert isinstance(heard.last, Finished), heard.last
    assert sorted(found) == list(range(len(found)))
    return [array("f", base64.b64decode(found[number])) for number in range(len(found))]


def likeness(a: array, b: array) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def test_vectors_have_length_one_and_like_texts_are_near(asked: Asked):
    heard = embed(
        asked, "A cat sits on the mat.", "A cat sat on a mat.", "Quarterly revenue grew by ten percent."
    )
    cat, other_cat, revenue = vectors(heard)
    for vector in (cat, other_cat, revenue):
        assert math.isclose(likeness(vector, vector), 1.0, rel_tol=1e-3)
    assert likeness(cat, other_cat) > likeness(cat, revenue)
    assert heard.last.usage.prompt_tokens > 10
    assert heard.last.usage.completion_tokens == 0


def test_tokens_are_embedded_as_their_text_is(asked: Asked):
    tokens = tokens_of(asked, "A cat sits on the mat.")
    as_text, as_tokens = vectors(embed(asked, "A cat sits on the mat.", tokens))
    assert likeness(as_text, as_tokens) > 0.999


def test_a_shorter_vector_has_length_one_as_well(asked: Asked):
    (vector,) = vectors(embed(asked, "A cat", dimensions=16))
    assert len(vector) == 16
    assert math.isclose(likeness(vector, vector), 1.0, rel_tol=1e-3)
    assert refused(embed(asked, "A cat", dimensions=100_000), "dimensions")


def test_a_text_that_is_too_long_to_embed_is_named(llama_cpp: Asked):
    heard = embed(llama_cpp, "short", "word " * 3000)
    assert isinstance(heard.last, Failed)
    assert (heard.last.code, heard.last.param) == (ErrorCode.CONTEXT_OVERFLOW, "input")
    assert "input[1]" in heard.last.message
    assert refused(embed(llama_cpp, (10**9,)), "input")


# --- what it says of itself --------------------------------------------------------------------------------


def test_no_engine_names_an_ability_that_does_not_exist(asked: Asked):
    assert set(asked.engine.hosted.abilities) <= set(Ability)
    assert Ability.CHAT in asked.engine.hosted.abilities


def test_what_it_does_not_name_it_refuses(asked: Asked):
    engine: Engine = asked.engine
    picture = (ChatMessage("user", "Look", images=("data:image/png;base64,AAAA",)),)
    if not engine.hosted.can(Ability.VISION):
        assert refused(chat(asked, messages=picture), "messages")
    if not engine.hosted.can(Ability.REASONING):
        assert refused(chat(asked, reasoning_effort="high"), "reasoning_effort")
    if not engine.hosted.can(Ability.PROMPT_LOGPROBS):
        assert refused(complete(asked, "x", echo=True, logprobs=True), "logprobs")


def test_thoughts_come_apart_from_the_answer():
    from workers.engines.registry import EngineSpec, load

    thinker = Asked(load(EngineSpec("thinker", "scripted", "reply=Yes.&thinks=Hm, let me see.")))
    heard = chat(thinker, reasoning_effort="high")
    assert (heard.reasoning, heard.text) == ("Hm, let me see.", "Yes.")
    assert chat(thinker, reasoning_effort="none").reasoning == ""
