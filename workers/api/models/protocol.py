"""How a chat model looks to a client."""

from typing import Any

from workers.models import ChatModel


def model_object(chat_model: ChatModel, *, ready: bool) -> dict[str, Any]:
    """OpenAI's model object, and `status`: whether a request would be answered now."""
    return {
        "id": chat_model.name,
        "object": "model",
        "created": int(chat_model.created_at.timestamp()),
        "owned_by": "chatsite",
        "status": "ready" if ready else "offline",
    }


def model_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": models}
