"""A chat model of the catalog, through the same door as the chat page and the API."""

import asyncio
import contextlib
import json
import time
import uuid
from functools import partial

from evaluation.calls.base import Call, CallFailed, Completion
from workers import client
from workers.connections import UNREACHABLE
from workers.protocol import (
    Ability,
    Constraint,
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
)

# What another attempt may mend; the rest (a prompt that is too long, say) would end the same way.
TRANSIENT = {
    ErrorCode.NO_WORKER,
    ErrorCode.WORKER_LOST,
    ErrorCode.QUEUE_FULL,
    ErrorCode.EXPIRED,
    ErrorCode.ENGINE_FAILURE,
}
SCRIPTED = "scripted"


class CatalogCaller:
    def __init__(self, chat_model: str, *, timeout: float):
        self._chat_model = chat_model
        self._timeout = timeout
        """Seconds for one text, queueing included."""
        self._schema_refused = False

    async def ask(self, call: Call) -> Completion:
        """Held to the call's schema where the chat model's workers can do that, and free otherwise."""
        constraint = await asyncio.to_thread(self._constraint, call)
        try:
            return await self._ask(call, constraint)
        except CallFailed as error:
            if constraint is None or error.code != ErrorCode.INVALID_REQUEST:
                raise
            self._schema_refused = True  # the engine knows schemas, but not this one
            return await self._ask(call, None)

    def _constraint(self, call: Call) -> Constraint | None:
        if call.schema is None or self._schema_refused or not can_keep_to_schema(self._chat_model):
            return None
        return Constraint("json_schema", json.dumps(call.schema))

    async def _ask(self, call: Call, constraint: Constraint | None) -> Completion:
        began = time.monotonic()
        request = GenerationRequest(
            id=uuid.uuid4().hex,
            chat_model=self._chat_model,
            messages=call.messages,
            deadline=time.time() + self._timeout,
            sampling=call.sampling,
            constraint=constraint,
            asker="evaluation",
        )
        await self._submit(request)
        try:
            text, last = await self._read(request.id)
        except UNREACHABLE as error:
            raise _broker_gone(error) from error
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # it ends by its deadline otherwise
                await asyncio.shield(asyncio.to_thread(client.cancel, request.id))
            raise
        if isinstance(last, Failed):
            raise CallFailed(last.message, code=last.code, transient=last.code in TRANSIENT)
        if last.reason is FinishReason.CANCELLED:
            raise CallFailed("Somebody stopped the generation.", code=last.reason, transient=True)
        return Completion(
            text=text,
            outcome=last.reason,
            prompt_tokens=last.usage.prompt_tokens,
            completion_tokens=last.usage.completion_tokens,
            seconds=time.monotonic() - began,
        )

    async def _submit(self, request: GenerationRequest) -> None:
        try:
            await asyncio.to_thread(partial(client.submit, request))
        except client.QueueFull as error:
            raise CallFailed(
                str(error), code=error.code, transient=True, retry_after=error.retry_after
            ) from None
        except client.NoWorker as error:
            raise CallFailed(str(error), code=error.code, transient=True) from None
        except UNREACHABLE as error:
            raise _broker_gone(error) from error

    async def _read(self, request_id: str) -> tuple[str, Finished | Failed]:
        pieces: list[str] = []
        async for _, event in client.afollow(request_id):
            if isinstance(event, Delta):
                pieces.append(event.text)
            elif isinstance(event, Finished | Failed):
                return "".join(pieces), event
        raise CallFailed("The answer's stream ended too early.", code=ErrorCode.EXPIRED, transient=True)

    async def close(self) -> None:
        """Nothing to free."""


def can_keep_to_schema(chat_model: str) -> bool:
    """Whether every worker that serves the chat model can hold it to a JSON schema; False when that cannot be told.

    Not a script, although its engine could: it would say the schema's smallest value in place of what is planted in it.
    """
    try:
        serving = [status for status in client.statuses() if status.serves(chat_model)]
    except UNREACHABLE:
        return False
    models = [model for status in serving for model in status.models if model.name == chat_model]
    return bool(models) and all(
        model.can(Ability.JSON_SCHEMA) and model.engine != SCRIPTED for model in models
    )


def _broker_gone(error: BaseException) -> CallFailed:
    # redis-py's errors are none of Python's own; the name alone, since their text holds the address.
    return CallFailed(
        f"The broker cannot be reached ({type(error).__name__}).", code="broker", transient=True
    )
