"""Keeps a chat completion as it goes out, if the caller asked for `store: true`. Knows not how answers are made."""

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from chatsite.accounts.models import ApiKey
from workers.api import metadata, threads
from workers.api.base import Pending
from workers.services import stored

PREFIX: Final = b"data: "


@dataclass(frozen=True, slots=True)
class Keeper:
    """Made of a request before it begins. `keep` is given what answers it."""

    body: dict[str, Any]
    labels: dict[str, str]
    api_key: ApiKey

    def keep(self, pending: Pending) -> Pending:
        """`pending` itself, or one that stores its answer if the request asks for it."""
        if self.body.get("store") is not True:
            return pending
        return Keeping(pending, self.body["messages"], self.labels, self.api_key)


def keeper(body: dict[str, Any], api_key: ApiKey) -> Keeper:
    """Raises `InvalidParameter` for labels that cannot be kept."""
    return Keeper(body, metadata.read(body.get("metadata")), api_key)


@dataclass(frozen=True, slots=True)
class Keeping:
    """A `Pending` around another."""

    pending: Pending
    messages: list[Any]
    labels: dict[str, str]
    api_key: ApiKey

    async def respond(self) -> HttpResponseBase:
        response = await self.pending.respond()
        if isinstance(response, StreamingHttpResponse):
            source = cast("AsyncIterator[bytes]", response.streaming_content)
            response.streaming_content = self._overheard(source)
        elif isinstance(response, HttpResponse) and response.status_code == 200:
            await threads.run(self._store, json.loads(response.content))
        return response

    def abandon(self) -> None:
        self.pending.abandon()

    async def _overheard(self, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Passes everything on, and stores before the last piece is out: whoever has read it all can look it up."""
        heard = bytearray()
        async for piece in source:
            heard += piece
            if heard.endswith(b"data: [DONE]\n\n"):
                await threads.run(self._store, merge(chunks(bytes(heard))))
            yield piece

    def _store(self, completion: dict[str, Any]) -> None:
        stored.keep(api_key=self.api_key, completion=completion, messages=self.messages, metadata=self.labels)


def chunks(stream: bytes) -> list[dict[str, Any]]:
    """The chunks in the bytes of a stream, comments and `[DONE]` left out."""
    lines = (line.removeprefix(PREFIX) for line in stream.split(b"\n") if line.startswith(PREFIX))
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def merge(pieces: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The completion that the chunks are the pieces of."""
    pieces = list(pieces)
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for piece in pieces:
        usage = piece.get("usage") or usage
        for choice in piece.get("choices", []):
            _merge_choice(choices.setdefault(choice["index"], _empty(choice["index"])), choice)
    head = {name: pieces[0][name] for name in ("id", "created", "model")}
    found = [choices[index] for index in sorted(choices)]
    return {**head, "object": "chat.completion", "choices": found, "usage": usage}


def _empty(index: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": None}


def _merge_choice(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    message, delta = choice["message"], piece.get("delta") or {}
    for name in ("content", "reasoning", "reasoning_content"):
        if delta.get(name):
            message[name] = (message.get(name) or "") + delta[name]
    for call in delta.get("tool_calls") or []:
        _merge_call(message.setdefault("tool_calls", []), call)
    if piece.get("logprobs"):
        kept = choice["logprobs"] = choice["logprobs"] or {"content": []}
        kept["content"] = [*(kept["content"] or []), *(piece["logprobs"].get("content") or [])]
    choice["finish_reason"] = piece.get("finish_reason") or choice["finish_reason"]


def _merge_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    while len(calls) <= piece["index"]:
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call, function = calls[piece["index"]], piece.get("function") or {}
    call["id"] = piece.get("id") or call["id"]
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""
