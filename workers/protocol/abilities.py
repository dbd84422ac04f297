"""Which abilities a request needs, and what to say about one that the chat model lacks."""

from typing import NamedTuple

from workers.protocol.requests import (
    DetokenizeRequest,
    EmbeddingRequest,
    GenerationRequest,
    TokenizeRequest,
    WorkerRequest,
)
from workers.protocol.status import Ability, HostedModel


class Need(NamedTuple):
    """`param` of the request asks for `ability`."""

    param: str
    ability: Ability


class Lack(NamedTuple):
    """A need that is not met. `message` is a sentence that names both."""

    param: str
    message: str


WHAT = {
    Ability.CHAT: "chat",
    Ability.COMPLETION: "go on with raw text",
    Ability.TOKEN_PROMPTS: "go on with token ids",
    Ability.SUFFIX: "fill a gap in front of a suffix",
    Ability.VISION: "look at images",
    Ability.TOOLS: "call tools",
    Ability.REASONING: "be told how long to think",
    Ability.JSON_OBJECT: "be held to JSON",
    Ability.JSON_SCHEMA: "be held to a JSON schema",
    Ability.GRAMMAR: "be held to a grammar",
    Ability.REGEX: "be held to a regular expression",
    Ability.LOGPROBS: "say log-probabilities",
    Ability.PROMPT_LOGPROBS: "say log-probabilities of the prompt",
    Ability.LOGIT_BIAS: "take a bias on its tokens",
    Ability.TOP_K: "sample with top_k",
    Ability.MIN_P: "sample with min_p",
    Ability.REPETITION_PENALTY: "sample with a repetition_penalty",
    Ability.EMBEDDINGS: "make embeddings",
    Ability.TOKENIZE: "count or name tokens",
}


def needs(request: WorkerRequest) -> list[Need]:
    """What the request asks for beyond a plain answer, each with the parameter that does."""
    match request:
        case GenerationRequest():
            return [*_input_needs(request), *_output_needs(request), *_sampling_needs(request)]
        case EmbeddingRequest():
            return [Need("model", Ability.EMBEDDINGS)]
        case TokenizeRequest() | DetokenizeRequest():
            return [Need("model", Ability.TOKENIZE)]


def lack(request: WorkerRequest, hosted: HostedModel) -> Lack | None:
    """The first thing that `request` asks for and `hosted` cannot do."""
    for param, ability in needs(request):
        if not hosted.can(ability):
            return Lack(param, f"The chat model {hosted.name} cannot {WHAT[ability]} ('{param}').")
    return None


def _input_needs(request: GenerationRequest) -> list[Need]:
    found = []
    if request.prompt is None:
        found.append(Need("messages", Ability.CHAT))
    else:
        tokens = not isinstance(request.prompt, str)
        found.append(Need("prompt", Ability.TOKEN_PROMPTS if tokens else Ability.COMPLETION))
    if any(message.images for message in request.messages):
        found.append(Need("messages", Ability.VISION))
    if request.suffix:
        found.append(Need("suffix", Ability.SUFFIX))
    return found


def _output_needs(request: GenerationRequest) -> list[Need]:
    found = []
    if request.tools and request.tool_choice != "none":
        found.append(Need("tools", Ability.TOOLS))
    if request.constraint is not None:
        found.append(Need("response_format", Ability(request.constraint.kind)))
    if request.reasoning_effort not in {"", "none"}:
        found.append(Need("reasoning_effort", Ability.REASONING))
    if request.sampling.logprobs:
        found.append(Need("logprobs", Ability.PROMPT_LOGPROBS if request.echo else Ability.LOGPROBS))
    return found


def _sampling_needs(request: GenerationRequest) -> list[Need]:
    sampling = request.sampling
    asked = {
        Ability.LOGIT_BIAS: bool(sampling.logit_bias),
        Ability.TOP_K: sampling.top_k is not None,
        Ability.MIN_P: sampling.min_p is not None,
        Ability.REPETITION_PENALTY: sampling.repetition_penalty is not None,
    }
    return [Need(ability.value, ability) for ability, wanted in asked.items() if wanted]
