"""Chat models for scripts and notebooks: loaded in this process, with the engines and prompt formats of the product.

    from workers import load_model

    with load_model("/models/SmolLM2-135M-Instruct.Q4_1.gguf") as model:
        print(model.chat("What is the capital of France?"))
        for piece in model.stream("Tell me a story.", temperature=0.8, max_tokens=200):
            print(piece, end="", flush=True)

Needs neither a server nor a database nor Django.
"""

import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

from workers.engine_settings import engine_of, read_options
from workers.engines import base, registry
from workers.engines.base import Engine, StopSignal
from workers.engines.registry import EngineSpec
from workers.protocol import (
    ChatMessage,
    Delta,
    Failed,
    Finished,
    GenerationRequest,
    HostedModel,
    Sampling,
    StreamEvent,
)

Messages: TypeAlias = str | Sequence[ChatMessage | Mapping[str, Any]]
"""What a person says, or a conversation as `{"role": …, "content": …}`."""

# Nobody waits in a script's place: as long as it takes.
NO_DEADLINE = 10 * 365 * 24 * 3600.0


class GenerationError(RuntimeError):
    """The model could not answer. `code` says why in one word, the text in a sentence."""

    def __init__(self, failure: Failed):
        super().__init__(failure.message)
        self.code = failure.code


def load_model(
    checkpoint: str | Path,
    *,
    engine: str = "",
    name: str = "",
    template: str = "",
    slots: int = 1,
    context_length: int = 0,
    threads: int = 0,
    gpu_layers: int = -1,
    **options: Any,
) -> "LocalModel":
    """Load weights and return the chat model. Raises `EngineError` with one sentence when it cannot be.

    `checkpoint` is a GGUF file, `package:NAME/FILE`, or a folder or hub name of a transformers checkpoint; `engine` is
    told by it unless it is given. `template` is a prompt format by name or file. `slots` is how many requests run at
    once, from as many threads. Further `options` are the engine's own: `device`, `dtype`, `load_8bit`, … of
    transformers, `lora` and `mmproj` of llama_cpp.
    """
    engine = engine or engine_of(str(checkpoint))
    spec = EngineSpec(
        name=name or Path(str(checkpoint)).stem or "model",
        engine=engine,
        checkpoint=str(checkpoint),
        slots=slots,
        context_length=context_length,
        threads=threads,
        gpu_layers=gpu_layers,
        template=template,
        **dict[str, Any](read_options(engine, options)),
    )
    return LocalModel(registry.load(spec))


class LocalModel:
    """A chat model in this process. Thread-safe; requests beyond its slots wait for a free one."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._slots = threading.BoundedSemaphore(engine.hosted.slots)

    @property
    def hosted(self) -> HostedModel:
        """Its engine, context length, slots and abilities."""
        return self._engine.hosted

    def chat(self, messages: Messages, *, system: str = "", **sampling: Any) -> str:
        """The whole answer. `sampling` as in `stream`."""
        return "".join(self.stream(messages, system=system, **sampling))

    def stream(self, messages: Messages, *, system: str = "", **sampling: Any) -> Generator[str]:
        """The answer as it is made. Closing the generator early stops the engine.

        `sampling`: `temperature`, `top_p`, `top_k`, `min_p`, `max_tokens`, `stop`, `seed`, `presence_penalty`,
        `frequency_penalty`, `repetition_penalty`. Raises `GenerationError`.
        """
        return self._texts(self.request(_messages(messages, system), **sampling))

    def generate(self, prompt: str, **sampling: Any) -> str:
        """What follows `prompt`, without any chat format."""
        return "".join(self.stream_prompt(prompt, **sampling))

    def stream_prompt(self, prompt: str, **sampling: Any) -> Generator[str]:
        return self._texts(self.request((), prompt=prompt, **sampling))

    def talk(self, *, system: str = "", **sampling: Any) -> "Talk":
        """A conversation that remembers what was said."""
        return Talk(self, system=system, sampling=sampling)

    def run(self, request: GenerationRequest, stop: StopSignal | None = None) -> Iterator[StreamEvent]:
        """The events of `workers.protocol`, for those who want the usage and the timing too."""
        with self._slots:
            yield from base.run(self._engine, request, stop or StopSignal())

    def request(
        self, messages: tuple[ChatMessage, ...], *, prompt: str | None = None, **sampling: Any
    ) -> GenerationRequest:
        stop = sampling.pop("stop", ())
        sampling["stop"] = (stop,) if isinstance(stop, str) else tuple(stop or ())
        try:
            return GenerationRequest(
                id=uuid.uuid4().hex,
                chat_model=self.hosted.name,
                messages=messages,
                prompt=prompt,
                deadline=time.time() + NO_DEADLINE,
                sampling=Sampling(**sampling),
            )
        except TypeError as error:  # names the parameter
            raise TypeError(str(error).replace("Sampling.__init__()", "sampling")) from None

    def close(self) -> None:
        """Free the weights."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _texts(self, request: GenerationRequest) -> Generator[str]:
        stop = StopSignal()
        with _stopped_at_the_end(stop):
            for event in self.run(request, stop):
                if isinstance(event, Delta) and event.text:
                    yield event.text
                elif isinstance(event, Failed):
                    raise GenerationError(event)
                elif isinstance(event, Finished):
                    return


class Talk:
    """A conversation with a `LocalModel`. What failed is not remembered."""

    def __init__(self, model: LocalModel, *, system: str = "", sampling: Mapping[str, Any] | None = None):
        self.messages: list[ChatMessage] = [ChatMessage("system", system)] if system else []
        self._model = model
        self._sampling = dict(sampling or {})

    def say(self, text: str, **sampling: Any) -> str:
        """The answer; both are remembered."""
        return "".join(self.stream(text, **sampling))

    def stream(self, text: str, **sampling: Any) -> Generator[str]:
        asked = [*self.messages, ChatMessage("user", text)]
        pieces = []
        for piece in self._model.stream(asked, **{**self._sampling, **sampling}):
            pieces.append(piece)
            yield piece
        self.messages = [*asked, ChatMessage("assistant", "".join(pieces))]


@contextmanager
def _stopped_at_the_end(stop: StopSignal) -> Iterator[None]:
    try:
        yield
    finally:
        stop.set("closed")


def _messages(messages: Messages, system: str) -> tuple[ChatMessage, ...]:
    if isinstance(messages, str):
        messages = [ChatMessage("user", messages)]
    head = [ChatMessage("system", system)] if system else []
    return (*head, *(one if isinstance(one, ChatMessage) else ChatMessage(**one) for one in messages))
