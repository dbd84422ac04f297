"""GGUF checkpoints by llama.cpp, in this process, with its own continuous batching (package `xllamacpp`).

A request occupies one of llama.cpp's slots; all slots share one K/V cache of `context_length` tokens. The server object
also listens on a loopback port, which is closed to others by a random key; it is used to count tokens only.
"""

import json
import queue
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from workers.engines.base import EngineError, Meter, StopSignal
from workers.protocol import (
    ErrorCode,
    FinishReason,
    GenerationRequest,
    HostedModel,
    StreamEvent,
)

# Prompt tokens a step works on: the bound on how long a stop waits, and how long running replies pause, while a long
# prompt is read. 2 cores and a 135M model read about 270 tokens a second.
BATCH_TOKENS = 512
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
    ):
        check_gguf(path)
        self.api_key = secrets.token_urlsafe(24)
        self._server = _load(
            path,
            slots=slots,
            context_length=context_length,
            threads=threads,
            gpu_layers=gpu_layers,
            key=self.api_key,
        )
        properties = self._get("/props")
        self.hosted = HostedModel(
            name=name,
            engine="llama_cpp",
            context_length=int(properties["default_generation_settings"]["n_ctx"]),
            slots=int(properties["total_slots"]),
        )
        # Each running request blocks a thread inside llama.cpp (without the GIL).
        self._threads = ThreadPoolExecutor(self.hosted.slots, thread_name_prefix=f"llama-{name}")
        self._closed = threading.Event()

    @property
    def address(self) -> str:
        """Of llama.cpp's own HTTP server, `http://127.0.0.1:PORT`."""
        return str(self._server.listening_address)

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Iterator[StreamEvent]:
        meter = Meter()
        chunks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

        def on_chunk(chunk: dict[str, Any]) -> bool:
            chunks.put(chunk)
            return stop.is_set()  # True ends the request and frees its slot

        def work() -> None:
            try:
                self._server.handle_chat_completions(payload(request), on_chunk)
            except Exception as error:
                chunks.put({"error": {"type": "", "message": f"{type(error).__name__}"}})
            finally:
                chunks.put(None)

        running = self._threads.submit(work)
        reason: FinishReason | None = None
        try:
            while (chunk := chunks.get()) is not None:
                if error := chunk.get("error"):
                    yield failure(meter, error)
                    return
                _count(meter, chunk)
                for choice in chunk["choices"]:
                    if text := choice["delta"].get("content"):
                        yield meter.delta(text)
                    if choice["finish_reason"] is not None:
                        reason = (
                            FinishReason.LENGTH if choice["finish_reason"] == "length" else FinishReason.STOP
                        )
        finally:
            # A consumer that closes the generator early leaves no request behind.
            stop.set("closed") if not running.done() else None
            running.result()
        if reason is not None:
            yield meter.finished(reason)
        elif stop.is_set():
            yield meter.finished(FinishReason.CANCELLED)
        else:
            yield meter.failed(ErrorCode.ENGINE_FAILURE, "llama.cpp ended the answer without a reason.")

    def count_tokens(self, text: str) -> int:
        return len(self._post("/tokenize", {"content": text})["tokens"])

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._threads.shutdown(wait=True)
            del self._server  # its destructor stops the loop and frees the weights

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


def check_gguf(path: Path) -> None:
    """Refuse what llama.cpp would answer with a page of C++ output."""
    if not path.exists():
        raise EngineError(f"{path} does not exist. Give the path of a GGUF file.")
    if path.is_dir():
        raise EngineError(f"{path} is a folder. Give the path of a GGUF file in it.")
    with path.open("rb") as file:
        if file.read(4) != GGUF_MAGIC:
            raise EngineError(f"{path} is not a GGUF file (it does not begin with the letters GGUF).")


def payload(request: GenerationRequest) -> dict[str, Any]:
    """The request in the words of llama.cpp's `/v1/chat/completions`."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    if request.prefix:
        messages.append(
            {"role": "assistant", "content": request.prefix}
        )  # an open turn: the model goes on with it
    sampling = request.sampling
    values: dict[str, Any] = {
        "messages": messages,
        "stream": True,
        "timings_per_token": True,  # exact counts also for a reply that is stopped
        "return_progress": True,  # a call back per prompt step, so that a stop is seen while a prompt is read
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop) or None,
        "seed": None if sampling.seed is None else sampling.seed % 2**32,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    return {name: value for name, value in values.items() if value is not None}


def failure(meter: Meter, error: dict[str, Any]) -> StreamEvent:
    """llama.cpp's error object as ours. Its message may quote the prompt, so only known kinds are described."""
    code = ERROR_CODES.get(error.get("type", ""), ErrorCode.ENGINE_FAILURE)
    if code is ErrorCode.CONTEXT_OVERFLOW:
        tokens, context = error.get("n_prompt_tokens", "?"), error.get("n_ctx", "?")
        message = f"The conversation has {tokens} tokens, more than the context of {context}."
        return meter.failed(code, message)
    if code is ErrorCode.INVALID_REQUEST:
        return meter.failed(code, "llama.cpp refused a value of the request.")
    return meter.failed(code, "llama.cpp could not go on with the answer.")


def _count(meter: Meter, chunk: dict[str, Any]) -> None:
    if timings := chunk.get("timings"):
        meter.cached_tokens = timings["cache_n"]
        meter.prompt_tokens = timings["cache_n"] + timings["prompt_n"]
        meter.completion_tokens = timings["predicted_n"]
    if usage := chunk.get("usage"):
        meter.prompt_tokens = usage["prompt_tokens"]
        meter.completion_tokens = usage["completion_tokens"]


def _load(path: Path, *, slots: int, context_length: int, threads: int, gpu_layers: int, key: str) -> Any:
    import xllamacpp  # here, so that the contract tests of other engines need no llama.cpp

    cores = threads or psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = context_length  # 0 = what the checkpoint was made for
    parameters.n_parallel = slots
    parameters.kv_unified = True  # slots share the cache instead of getting an equal part each
    parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = cores
    parameters.n_gpu_layers = gpu_layers
    parameters.cache_ram_mib = 0  # a prompt cache outside the slots' own would grow without a bound we state
    parameters.port = 0
    parameters.api_keys = [key]
    parameters.verbosity = 0
    try:
        return xllamacpp.Server(parameters)
    except Exception as error:
        raise EngineError(
            f"llama.cpp cannot load {path}: {error}. The file may be damaged, of an architecture that this version "
            "does not know, or too large for the memory."
        ) from error
