"""A chat model of the catalog, through the same door as the chat page and the API."""

import asyncio
import contextlib
import time
import uuid
from functools import partial

from evaluation.calls.base import Call, CallFailed, Completion
from workers import client
from workers.connections import UNREACHABLE
from workers.protocol import Delta, ErrorCode, Failed, Finished, FinishReason, GenerationRequest

# What another attempt may mend; the rest (a prompt that is too long, say) would end the same way.
TRANSIENT = {
    ErrorCode.NO_WORKER,
    ErrorCode.WORKER_LOST,
    ErrorCode.QUEUE_FULL,
    ErrorCode.EXPIRED,
    ErrorCode.ENGINE_FAILURE,
}


class CatalogCaller:
    def __init__(self, chat_model: str, *, timeout: float):
        self._chat_model = chat_model
        self._timeout = timeout
        """Seconds for one text, queueing included."""

    async def ask(self, call: Call) -> Completion:
        began = time.monotonic()
        request = GenerationRequest(
            id=uuid.uuid4().hex,
            chat_model=self._chat_model,
            messages=call.messages,
            deadline=time.time() + self._timeout,
            sampling=call.sampling,
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


def _broker_gone(error: BaseException) -> CallFailed:
    # redis-py's errors are none of Python's own; the name alone, since their text holds the address.
    return CallFailed(
        f"The broker cannot be reached ({type(error).__name__}).", code="broker", transient=True
    )
