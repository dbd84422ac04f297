"""The engine whose weights are on somebody else's server."""

import logging
import queue
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from workers.engine_settings.presets import Quirk
from workers.engine_settings.upstream import Upstream, read_address
from workers.engines.base import EngineError, Meter, StopSignal
from workers.engines.stopping import StopStrings
from workers.engines.upstream import keys, wire
from workers.engines.upstream.calls import Caller, CutOffError, RefusalError
from workers.engines.upstream.launch import LaunchedServer
from workers.engines.upstream.vectors import vectors_of
from workers.protocol import (
    Embedded,
    EmbeddingRequest,
    ErrorCode,
    Failed,
    FinishReason,
    GenerationRequest,
    HostedModel,
    StreamEvent,
    TokenLogprob,
)

logger = logging.getLogger(__name__)

DEFAULT_SLOTS = 32
# How soon a stop is heard while the server says nothing.
LOOK_SECONDS = 0.05
CONTEXT_KEYS = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx")
OVERFLOW_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
)


class UpstreamEngine:
    """Raises `EngineError` when the server, the key or the model is not there."""

    def __init__(
        self, name: str, checkpoint: str, *, slots: int = 0, context_length: int = 0, launch: str = ""
    ):
        upstream = read_address(checkpoint, launched=bool(launch))
        self._key = keys.find_key(upstream.key_variable)
        self._server = LaunchedServer(launch) if launch else None
        try:
            if self._server:
                upstream = replace(upstream, base_url=self._server.wait_ready())
            self.upstream = upstream
            self._caller = Caller(upstream, self._key)
            listed = self._check()
        except BaseException:
            self.close()
            raise
        self.hosted = HostedModel(
            name=name,
            engine="upstream",
            context_length=context_length or upstream.context_length or _context_of(listed),
            slots=slots or DEFAULT_SLOTS,
            abilities=tuple(ability.value for ability in upstream.abilities),
        )

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        if request.prompt is None and not request.messages:
            yield meter.failed(ErrorCode.INVALID_REQUEST, "The request has no messages.", param="messages")
            return
        if request.prefix and not (wire.can_continue(self.upstream) and request.prompt is None):
            message = (
                "The server of this chat model cannot go on with an answer that has begun. Please try again."
            )
            yield meter.failed(ErrorCode.WORKER_LOST, message)
            return
        if stop.is_set():
            yield meter.finished(FinishReason.CANCELLED)
            return
        before = self._before(request)
        limit = request.sampling.max_tokens
        if limit is not None and 0 < limit <= before:
            meter.completion_tokens = before
            yield meter.finished(FinishReason.LENGTH)
            return
        if limit is not None and before:
            request = replace(request, sampling=replace(request.sampling, max_tokens=limit - before))
        yield from _Reply(self, request, stop, meter, before).events()

    def embed(self, request: EmbeddingRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        inputs: list[Any] = [one if isinstance(one, str) else list(one) for one in request.inputs]
        body: dict[str, Any] = {"model": self.upstream.model, "input": inputs, "encoding_format": "base64"}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        try:
            answer = self._caller.post("/embeddings", body)
            vectors = vectors_of(answer, len(inputs))
        except RefusalError as refusal:
            yield self.failure(meter, refusal)
            return
        except ValueError:
            yield meter.failed(
                ErrorCode.ENGINE_FAILURE, "The server of this chat model sent no readable vectors."
            )
            return
        meter.prompt_tokens = wire.prompt_tokens_of(answer)
        yield Embedded(0, vectors)
        yield meter.finished(FinishReason.STOP)

    def _before(self, request: GenerationRequest) -> int:
        """Tokens of the reply that are there already. The server takes them for a part of the prompt."""
        if not request.prefix:
            return 0
        # A token is about four bytes of English; only a server without `/tokenize` is guessed for.
        return self._caller.count_tokens(request.prefix) or -(
            -len(request.prefix.encode(errors="replace")) // 4
        )

    def begin(self, request: GenerationRequest, pieces: "queue.SimpleQueue[Any]") -> Any:
        if self._server:
            self._caller.move(self._server.base_url)
        return self._caller.start(wire.path_of(request), wire.body_of(request, self.upstream), pieces)

    def failure(self, meter: Meter, refusal: RefusalError, suspect: str = "") -> Failed:
        """Why there is no answer, in a sentence without a word of the request.

        `suspect`: the parameter that is the likeliest cause when the server names none.
        """
        title = self.upstream.title
        if refusal.code in OVERFLOW_CODES:
            length = f"has {refusal.tokens} tokens, more than" if refusal.tokens else "is longer than"
            context = refusal.context or self.hosted.context_length
            message = f"The conversation {length} the model's context{f' of {context}' if context else ''}."
            return meter.failed(ErrorCode.CONTEXT_OVERFLOW, message)
        match refusal.status:
            case 0:
                return meter.failed(ErrorCode.ENGINE_FAILURE, f"{title} cannot be reached. Please try again.")
            case 400 | 404 | 413 | 422:
                param = refusal.param or suspect
                what = f"its parameter {param!r}" if param else "it"
                perhaps = "" if refusal.param or not suspect else " perhaps"
                message = f"{title} refused the request ({refusal.status}):{perhaps} {what} does not suit the model."
                return meter.failed(ErrorCode.INVALID_REQUEST, message, param=param)
            case 401 | 403:
                logger.error("%s refuses the key in %s.", title, self.upstream.key_variable or "(none set)")
                message = f"{title} does not accept the key of this site. Its operator has to look at it."
                return meter.failed(ErrorCode.ENGINE_FAILURE, message)
            case 429:
                return meter.failed(
                    ErrorCode.QUEUE_FULL, f"{title} has too many requests. Please try again later."
                )
        return meter.failed(
            ErrorCode.ENGINE_FAILURE, f"{title} has a problem ({refusal.status}). Please try again."
        )

    def close(self) -> None:
        if hasattr(self, "_caller"):
            self._caller.close()
        if self._server:
            self._server.close()

    def _check(self) -> dict[str, Any]:
        """The model's entry in the server's list. Raises `EngineError` when it is not in there."""
        if Quirk.LISTS_NOTHING in self.upstream.quirks:
            return {}
        where = f"{self.upstream.title} at {self.upstream.base_url}"
        try:
            answer = self._caller.get("/models")
        except RefusalError as refusal:
            raise EngineError(_why_unusable(where, refusal, self.upstream)) from None
        models = answer.get("data") if isinstance(answer, dict) else None
        found = {str(one["id"]): one for one in models or [] if isinstance(one, dict) and "id" in one}
        if self.upstream.model in found:
            return found[self.upstream.model]
        if not found:
            return {}  # a list that says nothing, says nothing against it either
        names = ", ".join(sorted(found)[:10]) + (", …" if len(found) > 10 else "")
        raise EngineError(f"{where} does not serve {self.upstream.model!r}. It has: {names}.")


class _Reply:
    """One reply on its way from the server."""

    def __init__(
        self,
        engine: UpstreamEngine,
        request: GenerationRequest,
        stop: StopSignal,
        meter: Meter,
        before: int,
    ) -> None:
        self._engine = engine
        self._request = request
        self._stop = stop
        self._meter = meter
        self._before = before
        meter.completion_tokens = before
        self._stops = StopStrings(request.sampling.stop)
        self._chunks = wire.Chunks()
        self._pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ending: StreamEvent | None = None
        self._finish: FinishReason | None = None

    def events(self) -> Generator[StreamEvent, None, None]:
        call = self._engine.begin(self._request, self._pieces)
        if isinstance(self._request.prompt, str) and self._request.echo:
            yield self._meter.delta(self._request.prompt)
        try:
            while self._ending is None:
                if self._stop.is_set():
                    self._ending = self._meter.finished(FinishReason.CANCELLED)
                    break
                try:
                    piece = self._pieces.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    continue
                yield from self._read(piece)
        finally:
            call.cancel()  # closes the connection, which is how a server is told to stop
        assert self._ending is not None
        yield self._ending

    def _read(self, piece: Any) -> Iterator[StreamEvent]:
        if piece is None:
            yield from self._end()
        elif isinstance(piece, Exception):
            self._ending = self._broken(piece)
        else:
            try:
                read = self._chunks.read(piece)
            except wire.UnreadableChunkError as error:
                self._ending = self._broken(error)
                return
            yield from self._add(read)

    def _add(self, piece: wire.Piece) -> Iterator[StreamEvent]:
        if piece.usage:
            self._meter.prompt_tokens = max(0, piece.usage.prompt_tokens - self._before)
            self._meter.completion_tokens = self._before + piece.usage.completion_tokens
            self._meter.cached_tokens = piece.usage.cached_tokens
        elif piece.text or piece.reasoning or piece.tool_calls:
            self._meter.completion_tokens += max(1, len(piece.logprobs))
        text, met = self._stops.feed(piece.text)
        if text or piece.reasoning or piece.tool_calls:
            yield self._meter.delta(
                text,
                reasoning=piece.reasoning,
                tool_calls=piece.tool_calls,
                logprobs=tuple(map(self._without_others, piece.logprobs)),
            )
        if met:
            self._ending = self._meter.finished(FinishReason.STOP, self._stops.met)
        self._finish = piece.finish or self._finish

    def _without_others(self, token: TokenLogprob) -> TokenLogprob:
        """As many of the likeliest tokens as were asked for: some servers send more."""
        return replace(token, top=token.top[: self._request.sampling.top_logprobs])

    def _end(self) -> Iterator[StreamEvent]:
        if self._finish is None:
            self._ending = self._broken(CutOffError("the stream ended without a reason"))
            return
        if rest := self._stops.rest():
            yield self._meter.delta(rest)
        self._ending = self._meter.finished(self._finish)

    def _broken(self, error: Exception) -> StreamEvent:
        if isinstance(error, RefusalError):
            # A schema is what servers refuse most, and many do not say where it stood.
            suspect = (
                "tools" if self._request.tools else "response_format" if self._request.constraint else ""
            )
            return self._engine.failure(self._meter, error, suspect)
        title = self._engine.upstream.title
        if not isinstance(error, CutOffError | wire.UnreadableChunkError):
            logger.error("%s: %s", title, type(error).__name__)  # its text may quote the request
        message = f"{title} broke off in the middle of the answer. Please try again."
        return self._meter.failed(ErrorCode.ENGINE_FAILURE, message)


def _why_unusable(where: str, refusal: RefusalError, upstream: Upstream) -> str:
    match refusal.status:
        case 0:
            return (
                f"{where} cannot be reached. Start it, or give its address as ?base_url=http://host:port/v1."
            )
        case 401 | 403:
            if upstream.key_variable:
                return f"{where} does not accept the key in {upstream.key_variable} ({refusal.status})."
            return f"{where} wants a key ({refusal.status}). Name its variable: ?key=CHATSITE_UPSTREAM_KEY."
        case 404:
            return f"{where} has no /models there ({refusal.status}). Does the address end with /v1?"
    return f"{where} does not answer as expected ({refusal.status})."


def _context_of(listed: dict[str, Any]) -> int:
    for key in CONTEXT_KEYS:
        value = listed.get(key)
        if isinstance(value, int) and value > 0:
            return value
    return 0
