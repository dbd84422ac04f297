"""Likelihoods of a prompt's own tokens, against a plain forward pass of the same weights."""

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[hf]'")

import torch
from transformers import AutoModelForCausalLM

from tests.workers.engines.conftest import Asked, by_transformers
from tests.workers.engines.weights import CHAT, tiny_decoder
from tests.workers.support import make_request
from workers.engines.base import StopSignal, run
from workers.engines.transformers import scoring
from workers.protocol import LEAST_LOGPROB, Delta, Failed, Finished, GenerationRequest, Sampling


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_decoder(tmp_path_factory.mktemp("scored"), template=CHAT, max_position_embeddings=2048)


@pytest.fixture(scope="module", params=["slots", "lockstep"])
def engine(folder, request):
    options = {"attn_implementation": "eager"} if request.param == "lockstep" else {}
    engine = by_transformers(folder, name="tiny", **options)
    assert engine.lockstep == (request.param == "lockstep")
    yield Asked(engine)
    engine.close()


def echoed(engine, ids, *, top=2, max_tokens: int | None = 0):
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens, logprobs=True, top_logprobs=top)
    request = GenerationRequest("e", "tiny", (), 1e12, sampling, prompt=tuple(ids), echo=True)
    events = list(run(engine.engine, request, StopSignal()))
    assert isinstance(events[-1], Finished)
    return [token for event in events if isinstance(event, Delta) for token in event.logprobs]


@pytest.mark.parametrize("at_once", [4, 1000])
def test_they_are_those_of_a_plain_forward_pass(engine, folder, monkeypatch, at_once):
    monkeypatch.setattr(scoring, "SCORED_AT_ONCE", at_once)
    ids = [int(token) for token in torch.randint(5, 60, (11,), generator=torch.Generator().manual_seed(3))]
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0].float()
    wanted = torch.log_softmax(logits, dim=-1)

    tokens = echoed(engine, ids)

    assert len(tokens) == len(ids)
    assert tokens[0].logprob is None
    assert tokens[0].top == ()
    for place, token in enumerate(tokens[1:]):
        assert token.logprob == pytest.approx(float(wanted[place, ids[place + 1]]), abs=1e-3)
        assert [other.logprob for other in token.top] == pytest.approx(
            wanted[place].topk(2).values.tolist(), abs=1e-3
        )


def test_what_is_said_behind_the_prompt_follows_with_its_own(engine):
    tokens = echoed(engine, [7, 8, 9], max_tokens=2)
    assert len(tokens) > 3
    assert all(token.logprob is not None and token.logprob > LEAST_LOGPROB for token in tokens[1:])


def test_a_prompt_of_one_token_has_nothing_to_tell(engine):
    assert [token.logprob for token in echoed(engine, [7])] == [None]


def test_others_are_answered_while_a_long_prompt_is_scored(engine, monkeypatch):
    monkeypatch.setattr(scoring, "SCORED_AT_ONCE", 8)
    assert len(echoed(engine, [5 + number % 50 for number in range(400)])) == 400
    assert engine.ask("Hello", max_tokens=3).reason in ("stop", "length")


@pytest.mark.parametrize("kind", [ValueError, RuntimeError], ids=["ours", "as torch raises"])
def test_a_prompt_whose_scoring_breaks_down_fails_alone(engine, monkeypatch, kind):
    def broken(*_, **__):
        raise kind("no such layer")

    with monkeypatch.context() as patch:
        patch.setattr(engine.engine._batch_of_loop, "logits", broken)
        sampling = Sampling(max_tokens=0, logprobs=True)
        request = GenerationRequest("e", "tiny", (), 1e12, sampling, prompt=(7, 8), echo=True)
        last = list(run(engine.engine, request, StopSignal()))[-1]
    assert isinstance(last, Failed)
    assert "no such layer" not in last.message
    assert "unloaded" not in last.message
    assert engine.answer(make_request("Hello", max_tokens=2)).reason in ("stop", "length")
