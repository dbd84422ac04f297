"""What the transformers engine does beyond the contract of all engines, with a tiny decoder of random weights."""

import base64
import json
import re
import struct
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[hf]'")

from tests.workers.engines.conftest import SLOTS, Asked, by_transformers
from tests.workers.engines.weights import CHAT, tiny_decoder
from tests.workers.support import at_once, make_request
from workers.engines.base import StopSignal, run
from workers.engines.transformers import loop as loop_module
from workers.protocol import (
    Constraint,
    Delta,
    DetokenizeRequest,
    Embedded,
    EmbeddingRequest,
    Failed,
    Tokenized,
    TokenizeRequest,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tiny_decoder(tmp_path_factory.mktemp("tiny"), template=CHAT, max_position_embeddings=2048)
    engine = by_transformers(folder, name="tiny")
    yield Asked(engine)
    engine.close()


def vectors(asked, *inputs, **values):
    request = EmbeddingRequest("e", "tiny", inputs, 1.0, **values)
    events = list(run(asked.engine, request, StopSignal()))
    found = [vector for event in events if isinstance(event, Embedded) for vector in event.vectors]
    numbers = [struct.unpack(f"<{len(base64.b64decode(v)) // 4}f", base64.b64decode(v)) for v in found]
    return numbers, events[-1]


def test_it_says_what_it_is(tiny):
    hosted = tiny.engine.hosted
    assert hosted.engine == "transformers"
    assert hosted.weights_bytes > 100_000
    assert hosted.load_seconds > 0
    assert {"chat", "logprobs", "embeddings", "json_schema"} <= set(hosted.abilities)


def test_seeds_repeat_under_concurrency(tiny):
    def ask(number):
        return tiny.ask(f"Say {number % 3}", temperature=1.0, seed=number % 3, max_tokens=20).text

    alone = [ask(number) for number in range(3)]
    assert len(set(alone)) == 3
    for _ in range(2):
        assert at_once(SLOTS + 2, ask) == [alone[number % 3] for number in range(SLOTS + 2)]


def test_without_a_seed_it_varies(tiny):
    assert len({tiny.ask("Say", temperature=1.0, max_tokens=12).text for _ in range(4)}) > 1


def test_the_next_turn_reuses_what_the_last_one_has_read(tiny):
    text = "A long question that is asked twice, so that the second time there is little to read."
    tiny.ask(text, temperature=0, max_tokens=2)
    again = tiny.ask(text, temperature=0, max_tokens=2)
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1
    assert tiny.ask(text, temperature=0, seed=1, max_tokens=2).usage.cached_tokens == 0


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_p": 0.0}, "top_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"presence_penalty": float("inf")}, "presence_penalty"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(tiny, values, param):
    last = tiny.ask("Hello", max_tokens=3, **values).last
    assert isinstance(last, Failed)
    assert (last.code, last.param) == ("invalid_request", param)
    assert param in last.message


def test_log_probabilities_come_with_the_text_they_are_of(tiny):
    answer = tiny.answer(make_request("Hello", temperature=0.0, max_tokens=8, logprobs=True, top_logprobs=3))
    events = list(
        tiny.stream(make_request("Hello", temperature=0.0, max_tokens=8, logprobs=True, top_logprobs=3))
    )
    told = [token for event in events if isinstance(event, Delta) for token in event.logprobs]
    assert "".join(token.token for token in told) == answer.text
    assert len(told) == answer.usage.completion_tokens
    for token in told:
        assert token.logprob is not None
        assert token.logprob <= 0
        assert token.top[0].token == token.token, "greedy"
        assert [likely.logprob for likely in token.top] == sorted(
            (t.logprob for t in token.top), reverse=True
        )


def test_vectors_are_of_length_one_and_the_same_alone_and_among_many(tiny):
    texts = ("one", "a much longer text than the others", "two", "three", "four")
    many, last = vectors(tiny, *texts)
    assert last.usage.prompt_tokens == sum(map(len, texts))
    assert len(many) == len(texts)
    for text, vector in zip(texts, many, strict=True):
        (alone,), _ = vectors(tiny, text)
        assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-5)
        assert vector == pytest.approx(alone, abs=1e-5)
    assert many[0] != pytest.approx(many[2], abs=1e-3)


def test_vectors_come_while_replies_run(tiny):
    events = tiny.stream(make_request("Go on", temperature=0.0, max_tokens=200, seed=1))
    next(events)
    assert len(vectors(tiny, "meanwhile")[0]) == 1
    assert sum(isinstance(event, Delta) for event in events) > 20


def test_a_vector_may_be_shorter(tiny):
    (short,), _ = vectors(tiny, "text", dimensions=8)
    assert len(short) == 8
    assert sum(x * x for x in short) == pytest.approx(1, abs=1e-5)
    _, last = vectors(tiny, "text", dimensions=10_000)
    assert isinstance(last, Failed)
    assert last.param == "dimensions"


@pytest.mark.parametrize("inputs", [("",), ((999,),), ("x" * 5000,)])
def test_an_input_that_has_no_vector_is_refused(tiny, inputs):
    _, last = vectors(tiny, *inputs)
    assert isinstance(last, Failed)
    assert last.param == "input"


def test_tokens_come_and_go(tiny):
    request = TokenizeRequest("t", "tiny", 1.0, prompt="né")
    tokens, _ = run(tiny.engine, request, StopSignal())
    assert isinstance(tokens, Tokenized)
    assert tokens.pieces == ("n", "\ufffd", "\ufffd")
    back, _ = run(tiny.engine, DetokenizeRequest("d", "tiny", tokens.tokens, 1.0), StopSignal())
    assert back == Delta("né")
    (refused,) = run(tiny.engine, DetokenizeRequest("d", "tiny", (5000,), 1.0), StopSignal())
    assert isinstance(refused, Failed)
    assert refused.param == "tokens"


def test_raw_text_and_token_ids_are_gone_on_with(tiny):
    raw = replace(make_request("", temperature=0.0, seed=1, max_tokens=6), messages=(), prompt="abc")
    ids = tuple(tiny.engine.tokenizer("abc").input_ids)
    by_text, by_ids = tiny.answer(raw), tiny.answer(replace(raw, prompt=ids))
    assert by_text.text == by_ids.text
    assert by_text.usage.prompt_tokens == 3
    echoed = tiny.answer(replace(raw, echo=True))
    assert echoed.text == "abc" + by_text.text
    assert echoed.usage == by_text.usage
    refused = tiny.answer(replace(raw, prompt=(1, 99_999))).last
    assert isinstance(refused, Failed)
    assert refused.param == "prompt"


class TestConstraints:
    @pytest.fixture(autouse=True)
    def _needs_llguidance(self):
        pytest.importorskip("llguidance", reason="llguidance is not installed: pip install '.[hf]'")

    def held(self, tiny, kind, value="", **values):
        values = {"temperature": 1.0, "seed": 5, "max_tokens": 200, **values}
        return tiny.answer(make_request("Answer", constraint=Constraint(kind, value), **values))

    def test_a_schema_is_kept_by_random_weights(self, tiny):
        schema = {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}, "ok": {"type": "boolean"}},
            "required": ["n", "ok"],
            "additionalProperties": False,
        }
        answer = self.held(
            tiny, "json_schema", json.dumps(schema), logit_bias=((ord(" ") - 33 + 221, -50.0),)
        )
        value = json.loads(answer.text)
        assert set(value) == {"n", "ok"}
        assert 0 <= value["n"] <= 99
        assert answer.reason == "stop"

    def test_an_expression_is_kept(self, tiny):
        answer = self.held(tiny, "regex", "[ab]{3}-[0-9]{2}")
        assert re.fullmatch("[ab]{3}-[0-9]{2}", answer.text)

    def test_a_grammar_is_kept(self, tiny):
        answer = self.held(tiny, "grammar", 'root ::= "yes" | "no"')
        assert answer.text in {"yes", "no"}

    def test_greedy_keeps_it_too_and_others_are_not_held(self, tiny):
        free = tiny.ask("Answer", temperature=0.0, seed=1, max_tokens=6).text

        def ask(number):
            if number % 2:
                return tiny.ask("Answer", temperature=0.0, seed=1, max_tokens=6).text
            return self.held(tiny, "regex", "x{4}", temperature=0.0).text

        assert at_once(4, ask) == ["xxxx", free, "xxxx", free]

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("json_schema", "not json"),
            ("json_schema", '{"type": "nothing"}'),
            ("regex", "(["),
            ("grammar", "::="),
        ],
    )
    def test_what_cannot_be_followed_is_refused(self, tiny, kind, value):
        last = self.held(tiny, kind, value).last
        assert isinstance(last, Failed)
        assert (last.code, last.param) == ("invalid_request", "response_format")


def test_a_step_that_breaks_down_fails_its_replies_and_not_the_next(tiny, monkeypatch, caplog):
    def broken(logits, pickers):
        raise RuntimeError("secret words of the prompt")

    with monkeypatch.context() as patched:
        patched.setattr(loop_module, "pick", broken)
        answer = tiny.ask("Hello", max_tokens=5)
    assert answer.reason == "engine_failure"
    assert "secret" not in caplog.text
    assert tiny.ask("Hello", temperature=0, max_tokens=5).reason == "length"


def test_a_conversation_that_the_template_refuses_is_refused(tmp_path):
    template = (
        "{% if messages | length > 1 %}{{ raise_exception('one only') }}{% endif %}{{ messages[0].content }}"
    )
    engine = by_transformers(tiny_decoder(tmp_path, template=template), name="tiny")
    request = make_request("a", max_tokens=3)
    last = Asked(engine).answer(replace(request, messages=request.messages * 2)).last
    assert isinstance(last, Failed)
    assert (last.code, last.param) == ("invalid_request", "messages")
    engine.close()


def test_a_closed_engine_says_so(tmp_path):
    engine = by_transformers(tiny_decoder(tmp_path, template=CHAT), name="tiny")
    events = engine.stream(make_request("a", max_tokens=300), StopSignal())
    next(events)
    engine.close()
    engine.close()
    *_, last = events
    assert last.type == "finished"
    assert last.reason == "cancelled"


def test_no_answer_ends_in_mid_sentence_where_the_operator_wants_that(tmp_path):
    """The tiny decoder's first choice is made the end; a whole sentence never comes from it."""
    folder = tiny_decoder(tmp_path, template=CHAT)
    plain = by_transformers(folder, name="tiny")
    first = Asked(plain).ask("Hello", temperature=0, max_tokens=1).text
    ends = plain._ends
    plain._ends = ends | set(plain.tokenizer(first, add_special_tokens=False).input_ids)
    assert Asked(plain).ask("Hello", temperature=0, max_tokens=8).usage.completion_tokens == 1
    plain.close()

    patient = by_transformers(folder, name="tiny", judge_sent_end=True)
    patient._ends = ends | set(patient.tokenizer(first, add_special_tokens=False).input_ids)
    answer = Asked(patient).ask("Hello", temperature=0, max_tokens=8)
    assert answer.usage.completion_tokens > 1
    assert not answer.text.startswith(first)
    patient.close()
