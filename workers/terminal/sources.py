"""Where a terminal program's answers come from: the running workers, an engine in this process, or another server."""

import json
import os
import re
import threading
from collections.abc import Iterator
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx
import redis
from django.conf import settings
from kombu.exceptions import OperationalError

from workers import client
from workers.engines.base import StopSignal
from workers.library import LocalModel
from workers.protocol import (
    ChatMessage,
    Delta,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    Sampling,
    Started,
    StreamEvent,
    Timing,
    Usage,
    Waiting,
)

# A silent server sends keep-alive lines; a first token may take as long as the model needs to read the prompt.
TIMEOUT: Final = httpx.Timeout(600.0, connect=15.0)
# A comment of this product's own servers, for those who look at the stream itself: `workers.api.sse.waiting`.
_PLACE: Final = re.compile(r": position (\d{1,9}) in the queue(, the model is being loaded)?$")


class SourceAway(Exception):  # noqa: N818 - reads as what happened
    """Nobody answers there. One sentence that says where it was looked for and what helps."""


class BrokerAway(SourceAway):
    """The broker does not answer."""

    def __init__(self, error: Exception):
        reason = str(error).rstrip(".") or type(error).__name__
        if settings.EMBEDDED_BROKER:
            remedy = (
                f"Start everything with bin/up. If it runs already, then with another data directory than "
                f"{settings.DATA_DIR}: name it, for example CHATSITE_DATA=/path/to/data"
            )
        else:
            remedy = "Is the server that REDIS_URL names running, and is the password right?"
        super().__init__(f"The broker does not answer ({reason}). {remedy}")


class Source(Protocol):
    """Used by one request after the other. `cancel` may be called from any thread, at any time."""

    def start(self, request: GenerationRequest) -> None:
        """Hand the request over. Raises `SourceAway`, and `client.Submission` when it is refused."""

    def follow(self, request: GenerationRequest) -> Iterator[StreamEvent]:
        """Its events, `Finished` or `Failed` as the last. Raises `SourceAway`."""

    def cancel(self, request: GenerationRequest) -> None:
        """Have it ended early; what it was by then is not said."""


class Workers:
    """The running workers, through the broker."""

    def start(self, request: GenerationRequest) -> None:
        try:
            client.submit(request)
        except (redis.RedisError, OSError, OperationalError) as error:
            raise BrokerAway(error) from None

    def follow(self, request: GenerationRequest) -> Iterator[StreamEvent]:
        try:
            for entry in client.follow(request.id):
                yield entry.event
        except (redis.RedisError, OSError, OperationalError) as error:
            raise BrokerAway(error) from None

    def cancel(self, request: GenerationRequest) -> None:
        try:
            client.cancel(request.id)
        except (redis.RedisError, OSError):
            return  # the request's deadline ends it


class InProcess:
    """A chat model that this process has loaded."""

    def __init__(self, model: LocalModel):
        self._model = model
        self._stops: dict[str, StopSignal] = {}

    def start(self, request: GenerationRequest) -> None:
        self._stops[request.id] = StopSignal()

    def follow(self, request: GenerationRequest) -> Iterator[StreamEvent]:
        stop = self._stops[request.id]
        try:
            yield Started("this process")
            yield from self._model.run(request, stop)
        finally:
            self._stops.pop(request.id, None)

    def cancel(self, request: GenerationRequest) -> None:
        if stop := self._stops.get(request.id):
            stop.set("cancelled")


class Remote:
    """Any server with OpenAI's chat completions. The key comes from the environment and is sent to it alone."""

    def __init__(self, url: str, key: str = ""):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SourceAway(f"{url!r} is no address; for example https://chat.example/v1")
        self._url = url.rstrip("/")
        self._host = parts.netloc.rpartition("@")[2]
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=TIMEOUT
        )
        self._ended = threading.Event()

    def models(self) -> list[str]:
        """What it serves. Raises `SourceAway`."""
        try:
            response = self._client.get(f"{self._url}/models", timeout=30)
            self._check(response)
            return [str(one["id"]) for one in response.json()["data"]]
        except httpx.HTTPError as error:
            raise self._away(error) from None
        except (ValueError, KeyError, TypeError):
            raise SourceAway(
                f"{self._url} does not speak OpenAI's API. Does the address end with /v1?"
            ) from None

    def start(self, request: GenerationRequest) -> None:
        self._ended.clear()

    def follow(self, request: GenerationRequest) -> Iterator[StreamEvent]:
        try:
            with self._client.stream("POST", f"{self._url}/chat/completions", json=body(request)) as response:
                if response.is_error:
                    response.read()
                    yield self._refused(response)
                    return
                yield Started(self._host)
                yield from self._events(response.iter_lines())
        except httpx.HTTPError as error:
            raise self._away(error) from None

    def cancel(self, request: GenerationRequest) -> None:
        self._ended.set()  # seen at the next line; leaving the response closes the connection

    def close(self) -> None:
        self._client.close()

    def _events(self, lines: Iterator[str]) -> Iterator[StreamEvent]:
        reason, usage = None, Usage()
        for line in lines:
            if self._ended.is_set():
                yield Finished(FinishReason.CANCELLED, usage)
                return
            if place := _PLACE.match(line):
                yield Waiting(int(place[1]), loading=bool(place[2]))
            data = line.removeprefix("data:").strip()
            if not line.startswith("data:") or data == "[DONE]":
                continue
            chunk = _json(data)
            if error := chunk.get("error"):
                yield Failed(ErrorCode.ENGINE_FAILURE, _message(error), usage)
                return
            usage = _usage(chunk.get("usage")) or usage
            for choice in chunk.get("choices") or ():
                if text := (choice.get("delta") or {}).get("content"):
                    yield Delta(text)
                reason = choice.get("finish_reason") or reason
        if reason is None:
            yield Failed(ErrorCode.WORKER_LOST, f"{self._host} broke the answer off.", usage)
        else:
            length = FinishReason.LENGTH if reason == "length" else FinishReason.STOP
            yield Finished(length, usage, Timing())

    def _check(self, response: httpx.Response) -> None:
        if response.status_code in (401, 403):
            raise SourceAway(
                f"{self._host} does not take the key ({response.status_code}). Put it into OPENAI_API_KEY."
            )
        if response.is_error:
            raise SourceAway(
                f"{self._url}/models answers {response.status_code}. Does the address end with /v1?"
            )

    def _refused(self, response: httpx.Response) -> Failed:
        error = _json(response.text).get("error")
        said = _message(error) if error else f"it answers {response.status_code}"
        return Failed(ErrorCode.INVALID_REQUEST, f"{self._host}: {said}")

    def _away(self, error: httpx.HTTPError) -> SourceAway:
        return SourceAway(
            f"{self._host} cannot be reached ({error or type(error).__name__}). Is the address right?"
        )


def key_of_environment() -> str:
    """A key on the command line would be seen by everybody on the machine."""
    return os.environ.get("CHATSITE_API_KEY") or os.environ.get("OPENAI_API_KEY", "")


def body(request: GenerationRequest) -> dict[str, Any]:
    """The request in OpenAI's words. What was not said is left out: other servers refuse what they do not know."""
    sampling: Sampling = request.sampling
    values = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
    }
    return {
        "model": request.chat_model,
        "messages": [_wire(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: value for name, value in values.items() if value is not None},
    }


def _wire(message: ChatMessage) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    return Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))


def _json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _message(error: Any) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)
