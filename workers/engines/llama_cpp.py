"""GGUF checkpoints by llama.cpp, in this process, with its own continuous batching (package `xllamacpp`).

A request occupies one of llama.cpp's slots; all slots share one K/V cache of `context_length` tokens. The server object
also listens on a loopback port, which is closed to others by a random key; it is used to count tokens only.
"""

import json
import logging
import queue
import secrets
import threading
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from workers.engine_settings import LlamaCppOptions
from workers.engines import completion, gguf_trouble, infilling, llguidance_language
from workers.engines.base import Engine, EngineError, Meter, RefusedError, StopSignal
from workers.engines.cache_room import CacheRoom, Ticket
from workers.engines.llama_cpp_embedding import LONGEST_INPUT, SLOTS, Embedding
from workers.engines.llama_cpp_loading import check_beside, check_gguf, load, on_processor
from workers.engines.llama_cpp_wire import (
    Logprobs,
    Wish,
    failure,
    guess_tokens,
    message_object,
    payload,
    prepare,
    tool_call_deltas,
    tool_object,
)
from workers.engines.prompting import format_of
from workers.engines.stopping import StopStrings
from workers.engines.tool_calls import Read, plain_messages, plan
from workers.protocol import (
    Ability,
    ChatMessage,
    Delta,
    DetokenizeRequest,
    EmbeddingRequest,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    HostedModel,
    StreamEvent,
    Tokenized,
    TokenizeRequest,
)

logger = logging.getLogger(__name__)

DEFAULT_SLOTS = 8
ABILITIES = (
    Ability.CHAT,
    Ability.COMPLETION,
    Ability.TOKEN_PROMPTS,
    Ability.TOOLS,
    Ability.JSON_OBJECT,
    Ability.JSON_SCHEMA,
    Ability.GRAMMAR,
    Ability.LOGPROBS,
    Ability.LOGIT_BIAS,
    Ability.TOP_K,
    Ability.MIN_P,
    Ability.REPETITION_PENALTY,
    Ability.EMBEDDINGS,
    Ability.TOKENIZE,
)
CACHE_FULL = "The model's memory is full with other requests. Please try again."


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
        options: LlamaCppOptions | None = None,
    ):
        options = options or LlamaCppOptions()
        check_gguf(path)
        check_beside(path, options)
        began = time.monotonic()
        self.api_key = secrets.token_urlsafe(24)
        self.format = format_of(
            wanted=template,
            brings_its_own=not completion.needs_template(path),
            name=name,
            checkpoint=str(path),
        )
        self.stops = self.format.stop if self.format else ()
        self._path, self._cores, self._gpu_layers, self._options = path, threads, gpu_layers, options
        self._server = load(
            path,
            slots=slots,
            context_length=context_length,
            threads=threads,
            gpu_layers=gpu_layers,
            key=self.api_key,
            chat_template=self.format.source if self.format else "",
            options=options,
        )
        self.gap = infilling.tokens_of(path)
        properties = self._properties()
        self.vocabulary = int(self._get("/v1/models")["data"][0]["meta"]["n_vocab"])
        template = str(properties.get("chat_template", ""))
        self.native_tools = bool(properties.get("chat_template_caps", {}).get("supports_tools"))
        self.can_think = "enable_thinking" in template or "reasoning_effort" in template
        self.hosted = HostedModel(
            name=name,
            engine="llama_cpp",
            context_length=int(properties["default_generation_settings"]["n_ctx"]),
            slots=int(properties["total_slots"]),
            abilities=self._abilities(sees=bool(properties.get("modalities", {}).get("vision"))),
            load_seconds=round(time.monotonic() - began, 2),
            weights_bytes=gguf_trouble.weights_bytes(path),
            on_processor=on_processor(gpu_layers),
        )
        self._embedding: Embedding | None = None
        self._embedding_lock = threading.Lock()
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

    def adapted(self) -> dict[str, Engine]:
        """The chat models of the adapters, each an engine over this one's weights."""
        return {name: Adapter(self, name) for name, _ in self._options.adapters}

    def stream(
        self, request: GenerationRequest, stop: StopSignal, *, adapter: str = ""
    ) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        if not request.messages and request.prompt is None:
            yield meter.failed(ErrorCode.INVALID_REQUEST, "The request has no messages.", "messages")
            return
        try:
            self._check_tokens(request)
            wish = prepare(
                request,
                native_tools=self.native_tools,
                can_think=self.can_think,
                gap=self.gap,
                loras=self._loras(adapter),
            )
        except RefusedError as refusal:
            yield meter.failed(refusal.code, refusal.message, refusal.param)
            return
        if request.echo and request.prompt:
            yield meter.delta(
                request.prompt if isinstance(request.prompt, str) else self._text(request.prompt)
            )
        ticket = self._room.ticket(guess_tokens(wish.request), pinned=not request.resumable)
        text = request.prefix
        try:
            while self._room.enter(ticket, stop.is_set):
                turn = _Turn(
                    self, replace(wish, request=replace(wish.request, prefix=text)), stop, ticket, meter
                )
                yield from turn.deltas()
                if turn.ending is not None:
                    yield turn.ending
                    return
                # Ordered out to make room for an older request: go on behind the text so far when there is room again.
                if turn.said and not request.resumable:
                    yield meter.failed(ErrorCode.QUEUE_FULL, CACHE_FULL)
                    return
                text += turn.text
                self._room.leave(ticket)
            yield meter.finished(FinishReason.CANCELLED)
        finally:
            self._room.leave(ticket)

    def embed(self, request: EmbeddingRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        yield from self._embedder().embed(request, stop)

    def tokenize(self, request: TokenizeRequest) -> Tokenized:
        text, special = request.prompt, request.add_special_tokens
        if text is None:
            if not request.messages:
                raise RefusedError("Send either a prompt or messages.", "prompt")
            text, special = self._as_prompt(request), True
        body = {"content": text, "add_special": special, "parse_special": True, "with_pieces": True}
        found = self._post("/tokenize", body)["tokens"]
        return Tokenized(
            tuple(token["id"] for token in found), tuple(_piece(token["piece"]) for token in found)
        )

    def detokenize(self, request: DetokenizeRequest) -> str:
        self._check_ids(request.tokens, "tokens")
        return self._text(request.tokens)

    def count_tokens(self, text: str) -> int:
        return len(self._post("/tokenize", {"content": text})["tokens"])

    def run(self, body: dict[str, Any], on_chunk: Callable[[dict[str, Any]], bool]) -> Future[None]:
        """Have llama.cpp work on a completion; `on_chunk` returns True to end it and free its slot."""
        raw = "prompt" in body
        handle = self._server.handle_completions if raw else self._server.handle_chat_completions
        # As text both ways: given objects, the binding takes 40 microseconds a token to turn each chunk into some.
        return self._threads.submit(handle, json.dumps(body), lambda chunk: on_chunk(json.loads(chunk)))

    def resize(self, ticket: Ticket, tokens: int) -> None:
        """The request behind `ticket` takes up so much of the cache now."""
        self._room.grow(ticket, tokens)

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._threads.shutdown(wait=True)
            self._embedding = None
            del self._server  # its destructor stops the loop and frees the weights

    def _abilities(self, *, sees: bool) -> tuple[str, ...]:
        extra = {
            Ability.VISION: sees,
            Ability.REASONING: self.can_think,
            Ability.SUFFIX: self.gap is not None,
            Ability.REGEX: llguidance_language.usable(),
        }
        return (
            *(ability.value for ability in ABILITIES),
            *(ability.value for ability, has in extra.items() if has),
        )

    def _loras(self, adapter: str) -> tuple[float, ...]:
        """The scale of each adapter that llama.cpp has, for a request to this chat model or to that of `adapter`."""
        return (
            *(lora.scale for lora in self._options.lora),
            *(lora.scale if name == adapter else 0.0 for name, lora in self._options.adapters),
        )

    def _embedder(self) -> Embedding:
        with self._embedding_lock:
            if self._embedding is None:
                longest = min(LONGEST_INPUT, self.hosted.context_length)
                server = load(
                    self._path,
                    slots=SLOTS,
                    context_length=SLOTS * longest,
                    threads=self._cores,
                    gpu_layers=self._gpu_layers,
                    key=secrets.token_urlsafe(24),
                    chat_template="",
                    options=LlamaCppOptions(lora=self._options.lora),
                    embed_up_to=longest,
                )
                self._embedding = Embedding(
                    server, longest=longest, count=self.count_tokens, vocabulary=self.vocabulary
                )
            return self._embedding

    def _as_prompt(self, request: TokenizeRequest) -> str:
        tools = request.tools
        messages: tuple[ChatMessage, ...] = request.messages
        if not self.native_tools:
            asked = GenerationRequest(request.id, request.chat_model, messages, request.deadline, tools=tools)
            messages, tools = (plan(asked).messages if tools else plain_messages(messages)), ()
        body: dict[str, Any] = {"messages": [message_object(message) for message in messages]}
        if tools:
            body["tools"] = [tool_object(tool) for tool in tools]
        try:
            return str(self._post("/apply-template", body)["prompt"])
        except OSError as error:
            raise RefusedError(
                "The chat template does not take these messages in this order.", "messages"
            ) from error

    def _text(self, tokens: tuple[int, ...]) -> str:
        return str(self._post("/detokenize", {"tokens": list(tokens)})["content"])

    def _check_tokens(self, request: GenerationRequest) -> None:
        if request.prompt is not None and not isinstance(request.prompt, str):
            self._check_ids(request.prompt, "prompt")
        self._check_ids(tuple(token for token, _ in request.sampling.logit_bias), "logit_bias")

    def _check_ids(self, tokens: tuple[int, ...], param: str) -> None:
        """llama.cpp answers 500 to an id beyond its vocabulary, or reads behind its end."""
        for token in tokens:
            if not 0 <= token < self.vocabulary:
                raise RefusedError(
                    f"{param} holds the token id {token}; the model has 0 to {self.vocabulary - 1}.", param
                )

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


class Adapter:
    """A LoRA adapter of an engine as a chat model of its own. No embeddings: llama.cpp chooses no adapter for those."""

    def __init__(self, engine: LlamaCppEngine, name: str):
        self._engine = self.base = engine
        abilities = tuple(one for one in engine.hosted.abilities if one != Ability.EMBEDDINGS)
        self.hosted = replace(
            engine.hosted, name=name, weights_bytes=0, load_seconds=0.0, memory_bytes=0, abilities=abilities
        )

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        return self._engine.stream(request, stop, adapter=self.hosted.name)

    def tokenize(self, request: TokenizeRequest) -> Tokenized:
        return self._engine.tokenize(request)

    def detokenize(self, request: DetokenizeRequest) -> str:
        return self._engine.detokenize(request)

    def close(self) -> None:
        """The weights are the base's."""


class _Turn:
    """One stay of a request in llama.cpp. A request has several only when the cache gets full."""

    def __init__(
        self,
        engine: LlamaCppEngine,
        wish: Wish,
        stop: StopSignal,
        ticket: Ticket,
        meter: Meter,
    ):
        self.text = ""
        """What this turn has added."""
        self.said = False
        """Whether it has added anything at all."""
        self.ending: Finished | Failed | None = None
        """None after a turn means that the request was ordered out."""
        self._engine = engine
        self._wish = wish
        self._request = request = wish.request
        self._reader = wish.reader
        self._logprobs = Logprobs(request.sampling.top_logprobs)
        self._stop = stop
        self._ticket = ticket
        self._meter = meter
        self._closed = self._met = False
        self._reason: FinishReason | None = None
        # Not left to llama.cpp, which drops the end of a reply that only looks like the beginning of a stop string.
        self._stops = StopStrings(request.sampling.stop, engine.stops if request.prompt is None else ())
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
        running = self._engine.run(payload(self._wish, before=self._before), self._on_chunk)
        running.add_done_callback(lambda _: self._chunks.put(None))
        try:
            while (chunk := self._chunks.get()) is not None and self.ending is None:
                yield from self._read(chunk)
        finally:
            self._closed = True  # a consumer that closes the generator early leaves no request behind
            wait([running])
        if self.ending is None:
            self.ending = self._how_it_ended(running)
        if isinstance(self.ending, Finished):
            yield from self._say(self._stops.rest())
            if self._reader is not None:
                yield from self._say_read(self._reader.rest())

    def _on_chunk(self, chunk: dict[str, Any]) -> bool:
        """Called by llama.cpp's thread. True ends the request and frees its slot."""
        for choice in chunk.get("choices", ()):
            if "text" in choice:  # a raw completion
                choice["delta"] = {"content": choice.pop("text")}
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
            pictured = any(message.images for message in self._request.messages)
            self.ending = failure(self._meter, error, constrained=bool(self._wish.grammar), pictured=pictured)
            return
        self._count(chunk)
        for choice in chunk["choices"]:
            delta = choice["delta"]
            self._logprobs.add(choice)
            if reasoning := delta.get("reasoning_content"):
                self.said = True
                yield self._meter.delta(reasoning=reasoning)
            yield from self._say(delta.get("content") or "")
            if calls := tool_call_deltas(delta):
                self.said = True
                yield self._meter.delta(tool_calls=calls)
            if self._reader is not None and self._reader.done:
                self._reason, self._closed = FinishReason.STOP, True
            if choice["finish_reason"] is not None and self._reason is None:
                length = choice["finish_reason"] == "length"
                self._reason = FinishReason.LENGTH if length else FinishReason.STOP

    def _say(self, text: str) -> Iterator[Delta]:
        logprobs = self._logprobs.take(text) if self._request.sampling.logprobs else ()
        templated = self._engine.format and self._request.prompt is None
        if templated and not self.text and not self._request.prefix:
            text = text.lstrip()  # "ASSISTANT:" is gone on with by a blank
        if self._reader is not None:
            yield from self._say_read(self._reader.feed(text))
        elif text or logprobs:
            self.said = True
            self.text += text
            yield self._meter.delta(text, logprobs=logprobs)

    def _say_read(self, read: Read) -> Iterator[Delta]:
        if read.text or read.tool_calls:
            self.said = True
            self.text += read.text
            yield self._meter.delta(read.text, tool_calls=read.tool_calls)

    def _how_it_ended(self, running: Future[None]) -> Finished | Failed | None:
        if error := running.exception():
            logger.error("llama.cpp raised %s.", type(error).__name__)  # its text may quote the request
            if (
                self._request.tools
                or self._request.constraint
                or any(m.images for m in self._request.messages)
            ):
                return self._meter.failed(
                    ErrorCode.INVALID_REQUEST,
                    "llama.cpp could not use the tools, the schema or the images of the request.",
                    "messages",
                )
            return self._meter.failed(ErrorCode.ENGINE_FAILURE, "llama.cpp could not work on the request.")
        if self._reason is not None:
            return self._meter.finished(self._reason, self._stops.met)
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


def _piece(piece: str | list[int]) -> str:
    """A token's text; llama.cpp sends the bytes of one that holds a part of a character."""
    return piece if isinstance(piece, str) else bytes(piece).decode(errors="replace")
