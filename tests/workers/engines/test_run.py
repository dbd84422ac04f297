"""What `run` does before an engine sees a request."""

from typing import Any, cast

import pytest

from tests.workers.support import make_request
from workers.engines.base import Engine, RefusedError, StopSignal, run
from workers.protocol import (
    Ability,
    Delta,
    DetokenizeRequest,
    Embedded,
    EmbeddingRequest,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    HostedModel,
    Tokenized,
    TokenizeRequest,
    WorkerRequest,
)

END = Finished(FinishReason.STOP)
EMBED = EmbeddingRequest("a", "toy", ("x",), 1.0)
TOKENIZE = TokenizeRequest("a", "toy", 1.0, prompt="x")
DETOKENIZE = DetokenizeRequest("a", "toy", (1,), 1.0)


class Toy:
    """Does all four things, and remembers that it was asked."""

    def __init__(self, *abilities: Ability) -> None:
        self.hosted = HostedModel("toy", "toy", abilities=tuple(ability.value for ability in abilities))
        self.asked: list[WorkerRequest] = []

    def stream(self, request: Any, stop: StopSignal) -> Any:
        self.asked.append(request)
        yield Delta("said")
        yield END

    def embed(self, request: Any, stop: StopSignal) -> Any:
        self.asked.append(request)
        yield Embedded(0, ("AAAA",))
        yield END

    def tokenize(self, request: TokenizeRequest) -> Tokenized:
        if request.prompt is None:
            raise RefusedError("There is no text.", "prompt")
        return Tokenized((1,))

    def detokenize(self, request: DetokenizeRequest) -> str:
        return "x"


def work(toy: Toy, request: WorkerRequest) -> list[Any]:
    return list(run(cast("Engine", toy), request, StopSignal()))


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (make_request("Hi"), [Delta("said"), END]),
        (EMBED, [Embedded(0, ("AAAA",)), END]),
        (TOKENIZE, [Tokenized((1,)), END]),
        (DETOKENIZE, [Delta("x"), END]),
    ],
    ids=["generate", "embed", "tokenize", "detokenize"],
)
def test_each_kind_of_request_finds_its_method(request_, answer):
    toy = Toy(Ability.CHAT, Ability.EMBEDDINGS, Ability.TOKENIZE)
    assert work(toy, request_) == answer


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (make_request("Hi", logprobs=True), "logprobs"),
        (make_request("Hi", top_k=3), "top_k"),
        (EMBED, "model"),
        (TOKENIZE, "model"),
        (DETOKENIZE, "model"),
    ],
    ids=["logprobs", "top_k", "embed", "tokenize", "detokenize"],
)
def test_what_it_cannot_do_is_refused_by_name_before_it_is_asked(request_, param):
    toy = Toy(Ability.CHAT)
    (last,) = work(toy, request_)
    assert isinstance(last, Failed)
    assert last.code is ErrorCode.INVALID_REQUEST
    assert last.param == param
    assert "toy" in last.message
    assert toy.asked == []


def test_a_value_that_it_refuses_is_named():
    assert work(Toy(Ability.TOKENIZE), TokenizeRequest("a", "toy", 1.0)) == [
        Failed(ErrorCode.INVALID_REQUEST, "There is no text.", param="prompt")
    ]
