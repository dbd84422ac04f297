"""GGUF checkpoints by llama.cpp, in this process, with its own continuous batching (package `xllamacpp`).

A request occupies one of llama.cpp's slots; all slots share one K/V cache of `context_length` tokens. The server object
also listens on a loopback port, which is closed to others by a random key; it is used to count tokens only.
"""

import json
import logging
import os
import queue
import secrets
import threading
import urllib.request
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from workers.engines import completion
from workers.engines.base import EngineError, Meter, StopSignal
from workers.engines.cache_room import CacheRoom, Ticket
from workers.engines.cores import usable_cores
from workers.engines.prompting import format_of
from workers.engines.stopping import StopStrings
from workers.protocol import (
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    HostedModel,
    StreamEvent,
)

logger = logging.getLogger(__name__)

# Prompt tokens a step works on: the bound on how long a stop waits, and how long running replies pause, while a long
# prompt is read. On two cores with a 135M model 128 reads a prompt 2 % slower than 512, and a step takes a quarter as
# long.
STEP_TOKENS_CPU = 128
STEP_TOKENS_GPU = 512
DEFAULT_SLOTS = 8
GGUF_MAGIC = b"GGUF"
ERROR_CODES = {
    "exceed_context_size_error": ErrorCode.CONTEXT_OVERFLOW,
    "invalid_request_error": ErrorCode.INVALID_REQUEST,
}


class LlamaCppEngine:
    """One GGUF file. Raises `EngineError` when it cannot be loaded."""

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        slots: int = DEFAULT_SLOTS,
        context_length: int = 0,
        threads: int = 0,
        gpu_layers: int = -1,
        template: str = "",
    ):
        check_gguf(path)
        self.api_key = secrets.token_urlsafe(24)
        self.format = format_of(
            wanted=template,
            brings_its_own=not completion.needs_template(path),
            name=name,
            checkpoint=str(path),
        )
        self.stops = self.format.stop if self.format else ()
        self._server = _load(
            path,
            slots=slots,
            context_length=context_length,
            threads=threads,
            gpu_layers=gpu_layers,
            key=self.api_key,
            chat_template=self.format.source if self.format else "",
        )
        properties = self._properties()
        self.hosted = HostedModel(
            name=name,
            engine="llama_cpp",
            context_length=int(properties["default_generation_settings"]["n_ctx"]),
            slots=int(properties["total_slots"]),
        )
        # Each running request blocks a thread inside llama.cpp (without the GIL).
        self._threads = ThreadPoolExecutor(self.hosted.slots, thread_name_prefix=f"llama-{name}")
        # When the shared cache is full llama.cpp ends every request that has a part in it, so it must not get full.
        # Each slot may add two tokens until one that was ordered out is gone.
        self._room = CacheRoom(self.hosted.context_length, margin=2 * self.hosted.slots)
        self._closed = threading.Event()

    @property
    def address(self) -> str:
        """Of llama.cpp's own HTTP server, `http://127.0.0.1:PORT`."""
        return str(self._server.listening_address)

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        if not request.messages:
            yield meter.failed(ErrorCode.INVALID_REQUEST, "The request has no messages.")
            return
        ticket = self._room.ticket(guess_tokens(request))
        text = request.prefix
        try:
            while self._room.enter(ticket, stop.is_set):
                turn = _Turn(self, replace(request, prefix=text), stop, ticket, meter)
                yield from turn.deltas()
                if turn.ending is not None:
                    yield turn.ending
                    return
                # Ordered out to make room for an older request: go on behind the text so far when there is room again.
                text += turn.text
                self._room.leave(ticket)
            yield meter.finished(FinishReason.CANCELLED)
        finally:
            self._room.leave(ticket)

    def count_tokens(self, text: str) -> int:
        return len(self._post("/tokenize", {"content": text})["tokens"])

    def run(self, body: dict[str, Any], on_chunk: Callable[[dict[str, Any]], bool]) -> Future[None]:
        """Have llama.cpp work on a chat completion; `on_chunk` returns True to end it and free its slot."""
        return self._threads.submit(self._server.handle_chat_completions, body, on_chunk)

    def resize(self, ticket: Ticket, tokens: int) -> None:
        """The request behind `ticket` takes up so much of the cache now."""
        self._room.grow(ticket, tokens)

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._threads.shutdown(wait=True)
            del self._server  # its destructor stops the loop and frees the weights

    def _properties(self) -> dict[str, Any]:
        try:
            return self._get("/props")
        except (OSError, ValueError) as error:
            raise EngineError(
                f"llama.cpp does not answer on {self.address}: {type(error).__name__}."
            ) from error

    def _get(self, path: str) -> dict[str, Any]:
        return self._ask(urllib.request.Request(self.address + path))  # noqa: S310 - our own loopback address

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode()
        return self._ask(urllib.request.Request(self.address + path, data))  # noqa: S310 - our own loopback address

    def _ask(self, request: urllib.request.Request) -> dict[str, Any]:
        request.add_header("Authorization", f"Bearer {self.api_key}")
        request.add_header("Content-Type", "application/json")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({})
        )  # a proxy must not see loopback traffic
        with opener.open(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
            return answer


class _Turn:
    """One stay of a request in llama.cpp. A request has several only when the cache gets full."""

    def __init__(
        self,
        engine: LlamaCppEngine,
        request: GenerationRequest,
        stop: StopSignal,
        ticket: Ticket,
        meter: Meter,
    ):
        self.text = ""
        """What this turn has added."""
        self.ending: Finished | Failed | None = None
        """None after a turn means that the request was ordered out."""
        self._engine = engine
        self._request = request
        self._stop = stop
        self._ticket = ticket
        self._meter = meter
        self._closed = self._met = False
        self._reason: FinishReason | None = None
        # Not left to llama.cpp, which drops the end of a reply that only looks like the beginning of a stop string.
        self._stops = StopStrings((*request.sampling.stop, *engine.stops))
        # Tokens of the reply that are there already and that llama.cpp takes for a part of the prompt.
        self._before = engine.count_tokens(request.prefix) if request.prefix else 0
        self._chunks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def deltas(self) -> Iterator[StreamEvent]:
        """The text as it comes; `text` and `ending` are set afterwards."""
        limit = self._request.sampling.max_tokens
        if limit is not None and limit <= self._before:
            self._meter.completion_tokens = self._before
            self.ending = self._meter.finished(FinishReason.LENGTH)
            return
        running = self._engine.run(payload(self._request, before=self._before), self._on_chunk)
        running.add_done_callback(lambda _: self._chunks.put(None))
        try:
            while (chunk := self._chunks.get()) is not None and self.ending is None:
                yield from self._read(chunk)
        finally:
            self._closed = True  # a consumer that closes the generator early leaves no request behind
            wait([running])
        if self.ending is None:
            self.ending = self._how_it_ended(running)
        if isinstance(self.ending, Finished) and (rest := self._stops.rest()):
            yield self._say(rest)

    def _on_chunk(self, chunk: dict[str, Any]) -> bool:
        """Called by llama.cpp's thread. True ends the request and frees its slot."""
        for choice in chunk.get("choices", ()):
            if text := choice["delta"].get("content"):
                # Here and not in the reader's thread, which would let llama.cpp make tokens behind the stop string.
                choice["delta"]["content"], met = self._stops.feed(text)
                if met:
                    choice["finish_reason"] = "stop"
                    self._met = True
        self._chunks.put(chunk)
        return self._met or self._closed or self._stop.is_set() or self._ticket.ordered_out

    def _read(self, chunk: dict[str, Any]) -> Iterator[StreamEvent]:
        if error := chunk.get("error"):
            self.ending = failure(self._meter, error)
            return
        self._count(chunk)
        for choice in chunk["choices"]:
            text = choice["delta"].get("content") or ""
            if self._engine.format and not self.text and not self._request.prefix:
                text = text.lstrip()  # "ASSISTANT:" is gone on with by a blank
            if text:
                yield self._say(text)
            if choice["finish_reason"] is not None and self._reason is None:
                length = choice["finish_reason"] == "length"
                self._reason = FinishReason.LENGTH if length else FinishReason.STOP

    def _say(self, text: str) -> Delta:
        self.text += text
        return self._meter.delta(text)

    def _how_it_ended(self, running: Future[None]) -> Finished | Failed | None:
        if error := running.exception():
            logger.error("llama.cpp raised %s.", type(error).__name__)  # its text may quote the request
            return self._meter.failed(ErrorCode.ENGINE_FAILURE, "llama.cpp could not work on the request.")
        if self._reason is not None:
            return self._meter.finished(self._reason)
        if self._stop.is_set():
            return self._meter.finished(FinishReason.CANCELLED)
        if self._ticket.ordered_out:
            return None
        return self._meter.failed(ErrorCode.ENGINE_FAILURE, "llama.cpp ended the answer without a reason.")

    def _count(self, chunk: dict[str, Any]) -> None:
        meter = self._meter
        if progress := chunk.get("prompt_progress"):
            self._engine.resize(self._ticket, progress["total"])
        if timings := chunk.get("timings"):
            prompt = timings["cache_n"] + timings["prompt_n"]
            meter.completion_tokens = self._before + timings["predicted_n"]
            if timings["predicted_n"]:  # the prompt has been read to its end
                meter.prompt_tokens = max(0, prompt - self._before)
                meter.cached_tokens = min(timings["cache_n"], meter.prompt_tokens)
                self._engine.resize(self._ticket, prompt + timings["predicted_n"])
        if usage := chunk.get("usage"):
            meter.prompt_tokens = max(0, usage["prompt_tokens"] - self._before)
            meter.completion_tokens = self._before + usage["completion_tokens"]


def check_gguf(path: Path) -> None:
    """Refuse what llama.cpp would answer with a page of C++ output."""
    if not path.exists():
        raise EngineError(f"{path} does not exist. Give the path of a GGUF file.")
    if path.is_dir():
        raise EngineError(f"{path} is a folder. Give the path of a GGUF file in it.")
    with path.open("rb") as file:
        if file.read(4) != GGUF_MAGIC:
            raise EngineError(f"{path} is not a GGUF file (it does not begin with the letters GGUF).")


def guess_tokens(request: GenerationRequest) -> int:
    """About how many tokens the request begins with; llama.cpp says it exactly a moment later."""
    letters = sum(len(message.content.encode(errors="replace")) for message in request.messages)
    return (letters + len(request.prefix)) // 3 + 8 * len(request.messages)


def payload(request: GenerationRequest, *, before: int = 0) -> dict[str, Any]:
    """The request in the words of llama.cpp's `/v1/chat/completions`. `before`: tokens of its prefix."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    if request.prefix:  # an open turn of the assistant, which the model goes on with
        if messages[-1]["role"] == "assistant":  # llama.cpp refuses two of them
            messages[-1]["content"] += request.prefix
        else:
            messages.append({"role": "assistant", "content": request.prefix})
    sampling = request.sampling
    values: dict[str, Any] = {
        "messages": messages,
        "stream": True,
        "timings_per_token": True,  # exact counts also for a reply that is stopped
        "return_progress": True,  # a call back per prompt step, so that a stop is seen while a prompt is read
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": None if sampling.max_tokens is None else sampling.max_tokens - before,
        "seed": None if sampling.seed is None else sampling.seed % 2**32,
        # K/V that were computed in another batch differ in their last bits, which is enough for another word. Who
        # gives a seed wants the same answer again, and waits for the prompt to be read anew.
        "cache_prompt": None if sampling.seed is None else False,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    return {name: value for name, value in values.items() if value is not None}


def failure(meter: Meter, error: dict[str, Any]) -> Failed:
    """llama.cpp's error object as ours. Its message may quote the prompt, so only known kinds are described."""
    code = ERROR_CODES.get(error.get("type", ""), ErrorCode.ENGINE_FAILURE)
    if code is ErrorCode.CONTEXT_OVERFLOW:
        tokens, context = error.get("n_prompt_tokens", "?"), error.get("n_ctx", "?")
        message = f"The conversation has {tokens} tokens, more than the context of {context}."
        return meter.failed(code, message)
    if code is ErrorCode.INVALID_REQUEST:
        return meter.failed(code, "llama.cpp refused a value of the request.")
    return meter.failed(code, "llama.cpp could not go on with the answer.")


def _load(
    path: Path,
    *,
    slots: int,
    context_length: int,
    threads: int,
    gpu_layers: int,
    key: str,
    chat_template: str,
) -> Any:
    # Threads that wait for each other soon sleep instead of spinning: with one other busy process on the machine the
    # spinning made an answer ten times slower. libgomp reads this when it is loaded. See docs/design/engines.md.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "200")
    try:
        import xllamacpp  # here, so that the contract tests of other engines need no llama.cpp
    except ImportError as error:
        raise EngineError(
            f"llama.cpp cannot be used ({error}). On Debian: apt-get install libgomp1"
        ) from error

    cores = threads or usable_cores()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = context_length  # 0 = what the checkpoint was made for
    parameters.n_parallel = slots
    parameters.kv_unified = True  # slots share the cache instead of getting an equal part each
    parameters.n_batch = parameters.n_ubatch = _step_tokens(xllamacpp, gpu_layers)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = cores
    parameters.n_gpu_layers = gpu_layers
    parameters.cache_ram_mib = 0  # a prompt cache outside the slots' own would grow without a bound we state
    parameters.port = 0
    parameters.ui = parameters.endpoint_slots = False  # nobody looks there, and slots show prompts
    parameters.api_keys = [key]
    if chat_template:
        parameters.chat_template = chat_template
    parameters.verbosity = 0
    try:
        return xllamacpp.Server(parameters)
    except Exception as error:
        cause = str(error).rstrip(".")
        raise EngineError(
            f"llama.cpp cannot load {path} ({cause}): the file may be damaged, of an architecture that this version "
            "does not know, or too large for the memory."
        ) from error


def _step_tokens(xllamacpp: Any, gpu_layers: int) -> int:
    types = xllamacpp.ggml_backend_dev_type
    gpus = {types.GGML_BACKEND_DEVICE_TYPE_GPU, types.GGML_BACKEND_DEVICE_TYPE_IGPU}
    has_gpu = any(device["type"] in gpus for device in xllamacpp.get_device_info())
    return STEP_TOKENS_GPU if has_gpu and gpu_layers else STEP_TOKENS_CPU
