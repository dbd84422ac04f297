"""The transformers engine behind the contract of `workers.engines.base`."""

import base64
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from workers.chat_template import BadTemplate
from workers.engine_settings.transformers import TransformersOptions
from workers.engines.base import Engine, EngineError, Meter, RefusedError, StopSignal
from workers.engines.cores import usable_cores
from workers.engines.stopping import StopStrings
from workers.engines.transformers import constraints, linears, loading
from workers.engines.transformers.adapters import Graft, attach, take_off
from workers.engines.transformers.lockstep import LockstepBatch
from workers.engines.transformers.loop import BROKE_DOWN, Loop
from workers.engines.transformers.probing import check_slots
from workers.engines.transformers.prompts import Prompts
from workers.engines.transformers.rows import Prompt, Row
from workers.engines.transformers.sampling import Held, Picker, Settings
from workers.engines.transformers.scoring import scored
from workers.engines.transformers.sentences import WholeSentences
from workers.engines.transformers.slots import SlotBatch
from workers.engines.transformers.text import TokenBytes, TokenText
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
    GenerationRequest,
    HostedModel,
    Sampling,
    StreamEvent,
    Tokenized,
    TokenizeRequest,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_SLOTS = 16
# A slot's K/V are reserved for its whole context, so the checkpoint's own (often 131,072) is not the default.
DEFAULT_CONTEXT = 8192
# Prompt tokens a step works on: how long running replies pause while a prompt is read. See the design note.
STEP_TOKENS_CPU = 128
STEP_TOKENS_GPU = 2048
# What a reply gets that says nothing, where the checkpoint says nothing either; llama.cpp's numbers.
TEMPERATURE, TOP_P = 0.8, 0.95
# Read once to see which inputs of which layers are large: words, code, numbers and another script.
SAMPLE = "Once upon a time there was a dog by the sea.\ndef f(x):\n    return x + 1\n1, 2, 3, 42. Où? 你好。"
# Texts embedded between two steps, so that running replies do not wait for all of them.
EMBEDDED_AT_ONCE = 4

ABILITIES = (
    Ability.CHAT,
    Ability.COMPLETION,
    Ability.TOKEN_PROMPTS,
    Ability.LOGPROBS,
    Ability.LOGIT_BIAS,
    Ability.TOP_K,
    Ability.MIN_P,
    Ability.REPETITION_PENALTY,
    Ability.EMBEDDINGS,
    Ability.TOKENIZE,
)


class TransformersEngine:
    """One base checkpoint. Raises `EngineError` when it cannot be loaded."""

    def __init__(
        self,
        name: str,
        checkpoint: str,
        path: Path,
        *,
        options: TransformersOptions | None = None,
        slots: int = DEFAULT_SLOTS,
        context_length: int = 0,
        threads: int = 0,
        template: str = "",
    ):
        began = time.monotonic()
        options = (options or TransformersOptions()).checked()
        source = loading.find(checkpoint, path)
        threads = threads or usable_cores()
        torch.set_num_threads(threads)
        loaded = loading.load(source, options, cache_tokens=slots * (context_length or DEFAULT_CONTEXT))
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.seq2seq = bool(self.model.config.is_encoder_decoder)
        self.prompts = Prompts(
            self.tokenizer, name=name, checkpoint=checkpoint, wanted=template, seq2seq=self.seq2seq
        )
        known = loading.context_of(self.model.config, seq2seq=self.seq2seq)
        context = context_length or min(known, DEFAULT_CONTEXT)
        on_cpu = loaded.device == "cpu"
        batch = self._batch(options, slots=slots, context=context, on_cpu=on_cpu)
        # Behind the probe, which compares numbers: those of eight bits are close, and not the same.
        seen = self._look(batch) if on_cpu and options.load_8bit else None
        if options.adapters:
            attach(self.model, options.adapters)
        if on_cpu and not options.load_4bit:
            linears.quicken(self.model, int8=options.load_8bit, seen=seen)
        if options.compile:
            linears.compile_parts(self.model)
        self.lockstep = isinstance(batch, LockstepBatch)
        self._whole_sentences = options.judge_sent_end
        self._adapters = tuple(name for name, _ in options.adapters)
        self._ends = self.prompts.ends(self.model)
        self._bytes = TokenBytes(self.tokenizer)
        self._guide = constraints.guide(
            self.tokenizer, self._ends, self.model.get_input_embeddings().num_embeddings
        )
        self._batch_of_loop: SlotBatch | LockstepBatch | None = batch
        self.hosted = HostedModel(
            name=name,
            engine="transformers",
            context_length=context,
            slots=slots,
            abilities=tuple(ability.value for ability in self._abilities()),
            load_seconds=round(time.monotonic() - began, 2),
            weights_bytes=linears.weights_bytes(self.model),
            on_processor=on_cpu,
        )
        self._loop = Loop(batch, name=name, threads=threads)

    def adapted(self) -> dict[str, Engine]:
        """The chat models of the adapters, each an engine over this one's weights."""
        return {name: Adapter(self, name) for name in self._adapters}

    def adapt(self, name: str, source: str) -> Engine:
        """One more chat model over these weights, while the others answer. Raises `EngineError`."""
        graft = Graft(name, source)
        try:
            self._loop.between_steps(lambda: graft.lay_over(self.model)).result()
        except RuntimeError as error:
            raise EngineError(f"adapter {name}: its base has been unloaded.") from error
        return Adapter(self, name)

    def take_off(self, name: str) -> None:
        """Free what `adapt`, or the options, have put over the weights as `name`."""
        batch = self._batch_of_loop
        if batch is None:
            return

        def act() -> None:
            take_off(self.model, name)
            batch.forget(name)

        with contextlib.suppress(RuntimeError):  # all of it has been unloaded
            self._loop.between_steps(act).result()

    def stream(
        self, request: GenerationRequest, stop: StopSignal, *, adapter: str = ""
    ) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        try:
            prompt = self._prompt(request)
            row = self._row(request, prompt, stop, meter, adapter)
        except RefusedError as refusal:
            yield meter.failed(refusal.code, refusal.message, refusal.param)
            return
        try:
            if request.echo and not request.prefix:
                yield self._echo(request, prompt.ids, meter, adapter)
            if isinstance(row, Finished):
                yield row
                return
            self._loop.submit(row)
        except RefusedError as refusal:
            yield meter.failed(refusal.code, refusal.message, refusal.param)
            return
        except RuntimeError:
            yield meter.failed(ErrorCode.ENGINE_FAILURE, "The model has been unloaded.")
            return
        try:
            while True:
                event = row.events.get()
                yield event
                if isinstance(event, Finished | Failed):
                    return
        finally:
            row.abandon()

    def embed(
        self, request: EmbeddingRequest, stop: StopSignal, *, adapter: str = ""
    ) -> Generator[StreamEvent, None, None]:
        meter = Meter()
        texts = [self._embedded_ids(text) for text in request.inputs]
        for first in range(0, len(texts), EMBEDDED_AT_ONCE):
            if stop.is_set():
                yield meter.finished(FinishReason.CANCELLED)
                return
            part = texts[first : first + EMBEDDED_AT_ONCE]
            vectors = self._vectors(part, adapter)
            meter.prompt_tokens += sum(map(len, part))
            yield Embedded(first, tuple(_encoded(vector, request.dimensions) for vector in vectors))
        yield meter.finished(FinishReason.STOP)

    def tokenize(self, request: TokenizeRequest) -> Tokenized:
        if request.prompt is not None:
            ids = self.tokenizer(request.prompt, add_special_tokens=request.add_special_tokens).input_ids
        elif request.messages:
            ids = self._prompt(GenerationRequest(request.id, request.chat_model, request.messages, 0.0)).ids
        else:
            raise RefusedError("There is no text to split into tokens.", "prompt")
        return Tokenized(tuple(ids), tuple(self._bytes.text(token) for token in ids))

    def detokenize(self, request: DetokenizeRequest) -> str:
        self._check_ids(request.tokens, "tokens")
        return str(
            self.tokenizer.decode(
                list(request.tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def close(self) -> None:
        self._loop.close()
        # The weights go with their last reference, also where a caller keeps the engine.
        self.model = self._batch_of_loop = None

    def _look(self, batch: SlotBatch | LockstepBatch) -> linears.Seen:
        ids = list(self.tokenizer(SAMPLE).input_ids)
        with torch.inference_mode():
            return linears.look(self.model, lambda: batch.embed([ids]))

    def _abilities(self) -> list[Ability]:
        scoring = () if self.seq2seq else (Ability.PROMPT_LOGPROBS,)  # an encoder's prompt has no likelihood
        return [*ABILITIES, *scoring, *(constraints.ABILITIES if self._guide is not None else ())]

    def _batch(
        self, options: TransformersOptions, *, slots: int, context: int, on_cpu: bool
    ) -> SlotBatch | LockstepBatch:
        if not (self.seq2seq or options.attn_implementation):
            step_tokens = STEP_TOKENS_CPU if on_cpu else STEP_TOKENS_GPU
            if why := check_slots(self.model):
                logger.warning("%s answers in lockstep: %s.", type(self.model).__name__, why)
            else:
                return SlotBatch(self.model, slots=slots, context=context, step_tokens=step_tokens)
        pad = self.tokenizer.pad_token_id
        return LockstepBatch(self.model, slots=slots, pad=0 if pad is None else pad)

    def _row(
        self, request: GenerationRequest, prompt: Prompt, stop: StopSignal, meter: Meter, adapter: str
    ) -> Row | Finished:
        """The request as a row, or how it ended already. Raises `RefusedError`."""
        meter.prompt_tokens = len(prompt.ids)
        limit = self._limit(request, prompt)
        if len(prompt.prefix) >= limit:
            meter.completion_tokens = len(prompt.prefix)
            return meter.finished(FinishReason.LENGTH)
        sampling = request.sampling
        allow = self._held(request, prompt)
        picker = Picker(
            self._settings(sampling),
            seed=sampling.seed,
            prompt=prompt.ids,
            said=prompt.prefix,
            constraint=allow,
        )
        formatted = request.prompt is None and self.prompts.format is not None
        return Row(
            prompt,
            picker=picker,
            text=TokenText(self.tokenizer, prompt.prefix),
            stops=StopStrings(sampling.stop, self.prompts.stops if formatted else ()),
            ends=self._ends,
            limit=limit,
            meter=meter,
            stop=stop,
            adapter=adapter,
            # K/V of another batch differ in their last bits, which is enough for another word. Who gives a seed wants
            # the same answer again.
            reuse=sampling.seed is None,
            # "ASSISTANT:" is gone on with by a blank.
            strip=formatted and not request.prefix,
            naming=self._bytes if sampling.logprobs else None,
        )

    def _held(self, request: GenerationRequest, prompt: Prompt) -> Held | None:
        if request.constraint:
            return self._guide.held_to(request.constraint) if self._guide else None
        if self._whole_sentences:
            return WholeSentences(self._ends, TokenText(self.tokenizer), prompt.prefix)
        return None

    def _prompt(self, request: GenerationRequest) -> Prompt:
        if request.prompt is not None and not isinstance(request.prompt, str):
            self._check_ids(request.prompt, "prompt")
        if request.prompt is None and not request.messages:
            raise RefusedError("The request has no messages.", "messages")
        try:
            prompt = self.prompts.read(request)
        except BadTemplate:  # a template may refuse a conversation: two questions in a row, a system message
            message = "The chat model's template cannot write this conversation."
            raise RefusedError(message, "messages") from None
        if not prompt.ids:
            raise RefusedError(
                "The prompt is empty, and this chat model cannot begin with nothing.", "prompt"
            )
        return prompt

    def _limit(self, request: GenerationRequest, prompt: Prompt) -> int:
        """Tokens that the whole reply may have."""
        context, tokens = self.hosted.context_length, len(prompt.ids)
        if tokens >= context:
            message = f"The conversation has {tokens} tokens, more than the context of {context}."
            raise RefusedError(message, "messages", ErrorCode.CONTEXT_OVERFLOW)
        room = context if self.seq2seq else context - tokens  # a decoder of its own has a context of its own
        limit = request.sampling.max_tokens
        return room if limit is None else min(limit, room)

    def _settings(self, sampling: Sampling) -> Settings:
        own = self.model.generation_config
        samples = bool(own.do_sample)
        temperature = _own(sampling.temperature, own.temperature if samples else None, TEMPERATURE)
        return checked(
            Settings(
                temperature=temperature,
                top_p=_own(sampling.top_p, own.top_p if samples else None, TOP_P),
                top_k=int(_own(sampling.top_k, own.top_k if samples else None, 0)),
                min_p=_own(sampling.min_p, own.min_p if samples else None, 0.0),
                presence_penalty=sampling.presence_penalty or 0.0,
                frequency_penalty=sampling.frequency_penalty or 0.0,
                repetition_penalty=_own(sampling.repetition_penalty, own.repetition_penalty, 1.0),
                logit_bias=dict(sampling.logit_bias),
                logprobs=sampling.logprobs,
                top_logprobs=sampling.top_logprobs,
            )
        )

    def _echo(self, request: GenerationRequest, ids: list[int], meter: Meter, adapter: str) -> Delta:
        """The prompt as the first words of the reply, each token with its likelihood where that was asked for."""
        if not request.sampling.logprobs:
            return meter.delta(self._echoed(request))

        def logits(first: int, last: int) -> torch.Tensor:
            return self._between_steps(lambda batch: batch.logits(ids, first, last, adapter=adapter))

        told = tuple(scored(ids, logits, self._bytes, request.sampling.top_logprobs))
        return meter.delta(self._echoed(request), logprobs=told)

    def _echoed(self, request: GenerationRequest) -> str:
        if isinstance(request.prompt, str):
            return request.prompt
        return str(self.tokenizer.decode(list(request.prompt or ()), skip_special_tokens=True))

    def _embedded_ids(self, text: str | Sequence[int]) -> list[int]:
        if isinstance(text, str):
            ids = list(self.tokenizer(text).input_ids)
        else:
            self._check_ids(text, "input")
            ids = list(text)
        if not ids:
            raise RefusedError("An input is empty, and has no vector.", "input")
        if len(ids) > self.hosted.context_length:
            raise RefusedError(
                f"An input has {len(ids)} tokens, more than the context of {self.hosted.context_length}.",
                "input",
                ErrorCode.CONTEXT_OVERFLOW,
            )
        return ids

    def _vectors(self, texts: list[list[int]], adapter: str) -> list[torch.Tensor]:
        return self._between_steps(lambda batch: batch.embed(texts, adapter=adapter))

    def _between_steps(self, act: Callable[[SlotBatch | LockstepBatch], T]) -> T:
        """What the model is asked beside its replies. Raises `RuntimeError` when it has been unloaded."""
        batch = self._batch_of_loop
        if batch is None:
            raise RuntimeError("the engine is closed")
        future = self._loop.between_steps(lambda: act(batch))
        try:
            found: T = future.result()
        except Exception as error:
            logger.error("What was asked beside the replies broke down: %s", type(error).__name__)
            raise RefusedError(BROKE_DOWN, code=ErrorCode.ENGINE_FAILURE) from None
        return found

    def _check_ids(self, ids: Sequence[int], param: str) -> None:
        size = len(self.tokenizer)
        if any(not 0 <= token < size for token in ids):
            raise RefusedError(f"A token id is not one of the chat model's 0 to {size - 1}.", param)


class Adapter:
    """One adapter of an engine as a chat model of its own."""

    def __init__(self, engine: TransformersEngine, name: str):
        self._engine = engine
        self.hosted = replace(engine.hosted, name=name, weights_bytes=0, load_seconds=0.0, memory_bytes=0)

    @property
    def base(self) -> TransformersEngine:
        return self._engine

    def stream(self, request: GenerationRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        return self._engine.stream(request, stop, adapter=self.hosted.name)

    def embed(self, request: EmbeddingRequest, stop: StopSignal) -> Generator[StreamEvent, None, None]:
        return self._engine.embed(request, stop, adapter=self.hosted.name)

    def tokenize(self, request: TokenizeRequest) -> Tokenized:
        return self._engine.tokenize(request)

    def detokenize(self, request: DetokenizeRequest) -> str:
        return self._engine.detokenize(request)

    def close(self) -> None:
        """Free what is the adapter's. The weights are the base's."""
        self._engine.take_off(self.hosted.name)


def checked(settings: Settings) -> Settings:
    """Itself. Raises `RefusedError` that names the parameter which is out of its range."""
    ranges = {
        "temperature": (0.0, math.inf),
        "top_p": (0.0, 1.0),
        "min_p": (0.0, 1.0),
        "presence_penalty": (-math.inf, math.inf),
        "frequency_penalty": (-math.inf, math.inf),
        "repetition_penalty": (1e-3, 1e3),
    }
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if not (math.isfinite(value) and least <= value <= most):
            between = f"at least {least:g}" if math.isinf(most) else f"between {least:g} and {most:g}"
            between = "a number" if math.isinf(least) else between
            raise RefusedError(f"{name} must be {between}.", name)
    if settings.top_p == 0:
        raise RefusedError("top_p must be more than 0.", "top_p")
    settings.top_k = max(0, settings.top_k)
    return settings


def _own(asked: float | None, checkpoint: float | None, default: float) -> float:
    if asked is not None:
        return asked
    return default if checkpoint is None else checkpoint


def _encoded(vector: torch.Tensor, dimensions: int | None) -> str:
    """Base64 of little-endian float32 of length 1; a shorter one is its beginning (Matryoshka, arXiv:2205.13147)."""
    if dimensions is not None:
        if dimensions > len(vector):
            raise RefusedError(f"dimensions must be at most {len(vector)}.", "dimensions")
        vector = vector[:dimensions]
    unit = torch.nn.functional.normalize(vector.double(), dim=0)
    return base64.b64encode(unit.cpu().numpy().astype("<f4").tobytes()).decode()


def load_engine(name: str, checkpoint: str, path: Path, **arguments: Any) -> TransformersEngine:
    """The engine, or an `EngineError` in one sentence whatever went wrong.

    It is loaded in a thread of its own that ends: OpenMP keeps helpers for each thread that ever computed in parallel,
    and once there are more of them than cores, all go to sleep between two operations at once. With those of the thread
    that loads left behind, the loop's took twice as long for a step.
    """
    try:
        return _in_a_thread_that_ends(lambda: TransformersEngine(name, checkpoint, path, **arguments))
    except EngineError:
        raise
    except Exception as error:
        logger.exception("%s cannot be loaded.", name)
        raise EngineError(
            f"{checkpoint} cannot be run ({type(error).__name__}: {str(error)[:200]})."
        ) from error


def _in_a_thread_that_ends(act: Callable[[], T]) -> T:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except BaseException as error:
            future.set_exception(error)

    # A daemon, so that Ctrl-C need not wait for the end of a long load.
    thread = threading.Thread(target=run, name="load", daemon=True)
    thread.start()
    thread.join()
    return future.result()
