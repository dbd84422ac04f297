"""Keeps chat completions and responses for those who ask for it."""

from collections.abc import Mapping
from typing import Any

from chatsite.accounts.models import ApiKey
from workers.models import StoredCompletion, StoredResponse

LONGEST_CHAIN = 1000
"""Turns that a conversation of responses may have."""


class ChainTooLong(Exception):  # noqa: N818 - reads as what happened
    """The conversation has `LONGEST_CHAIN` turns."""


def keep(
    *,
    api_key: ApiKey,
    completion: Mapping[str, Any],
    messages: list[Any],
    metadata: Mapping[str, str] | None = None,
) -> StoredCompletion:
    """Store a chat completion, as the client got it, with what it answers. Stored twice, it is one."""
    row, _ = StoredCompletion.objects.get_or_create(
        public_id=completion["id"],
        defaults={
            "owner": api_key.owner,
            "api_key": api_key,
            "chat_model": completion["model"],
            "metadata": dict(metadata or {}),
            "body": storable(dict(completion)),
            "messages": storable(messages),
        },
    )
    return row


def storable(value: Any) -> Any:
    """`value` with its NUL characters replaced: PostgreSQL's JSON has none."""
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case list():
            return [storable(entry) for entry in value]
        case dict():
            return {storable(name): storable(entry) for name, entry in value.items()}
        case _:
            return value


def set_metadata(*, row: StoredCompletion, metadata: Mapping[str, str]) -> None:
    row.metadata = dict(metadata)
    row.save(update_fields=["metadata"])


def open_response(
    *,
    api_key: ApiKey,
    request_id: str,
    body: dict[str, Any],
    chat_model: str,
    items: list[Any],
    previous: StoredResponse | None,
) -> StoredResponse:
    """Store a response before it is generated."""
    return StoredResponse.objects.create(
        public_id=body["id"],
        owner=api_key.owner,
        api_key=api_key,
        chat_model=chat_model,
        metadata=body["metadata"],
        body=storable(body),
        request_id=request_id,
        status=body["status"],
        background=body["background"],
        input=storable(items),
        previous=previous,
    )


def close_response(*, request_id: str, body: Mapping[str, Any]) -> bool:
    """Store how a response ended. False when that is known already, or when it was deleted."""
    changed = StoredResponse.objects.filter(request_id=request_id, status__in=StoredResponse.OPEN).update(
        status=body["status"], body=storable(dict(body))
    )
    return bool(changed)


def forget_response(*, request_id: str) -> None:
    """It was never begun."""
    StoredResponse.objects.filter(request_id=request_id).delete()


def turns(*, last: StoredResponse) -> list[StoredResponse]:
    """The conversation up to `last`, oldest first. Raises `ChainTooLong`."""
    chain = [last]
    while (previous := chain[-1].previous) is not None:
        chain.append(previous)
        if len(chain) > LONGEST_CHAIN:
            raise ChainTooLong
    return chain[::-1]
