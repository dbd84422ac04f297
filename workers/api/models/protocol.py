"""How a chat model looks to a client."""

from typing import Any

from workers.models import ChatModel
from workers.protocol import HostedModel


def model_object(chat_model: ChatModel, *, hosted: HostedModel | None) -> dict[str, Any]:
    """OpenAI's model object, `status`: whether a request would be answered now, and, as vLLM has it, the context.

    `hosted`: as a live worker has it; None when no worker does.
    """
    found = {
        "id": chat_model.name,
        "object": "model",
        "created": int(chat_model.created_at.timestamp()),
        "owned_by": "chatsite",
        "status": "offline" if hosted is None else "ready",
    }
    if hosted is not None and hosted.context_length:
        found["max_model_len"] = hosted.context_length
    return found


def model_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": models}
