"""What comes of a finished run: a hidden chat model in the catalog."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from training.models import Job
from training.services import jobs, materials, recipes, smoke
from workers import client
from workers.connections import UNREACHABLE
from workers.models import ChatModel
from workers.services import catalog, hosting

logger = logging.getLogger(__name__)


class Unfinished(Exception):  # noqa: N818 - reads as what happened
    """The run's folder does not hold what a finished run leaves."""


def register(*, job: Job, folder: Path) -> ChatModel | None:
    """Enter what the job made into the catalog, hidden, and let the job succeed; None when it is not wanted any more.

    Raises `Unfinished`.
    """
    tokens = _trained_tokens(folder)
    parent = ChatModel.objects.filter(name=job.base_model).first()
    with transaction.atomic():
        try:
            chat_model = catalog.add(
                name=job.result_name,
                description=f"{job.base_model}, fine-tuned by {job.public_id}"[:300],
                licence=parent.licence if parent else "",
                system_prompt=_system_prompt(parent, folder),
                published=False,
                **_weights(parent, folder),
            )
        except ValidationError as error:
            raise Unfinished(f"The catalog does not take it: {' '.join(error.messages)}") from error
        if not jobs.succeed(job=job, fine_tuned_model=chat_model.name, trained_tokens=tokens):
            transaction.set_rollback(True)
            return None
        smoke.plan(job=job)
        if parent is not None and recipes.takes_adapters(parent):
            transaction.on_commit(partial(_let_answer, chat_model, parent))
    return chat_model


def _let_answer(chat_model: ChatModel, parent: ChatModel) -> None:
    """A worker that hosts the parent takes the adapter up, which costs it next to nothing."""
    try:
        hosting_it = [status.worker for status in client.statuses() if status.serves(parent.name)]
        if hosting_it:
            hosting.load(chat_model.name, worker=hosting_it[0])
    except (hosting.CannotHost, *UNREACHABLE) as error:
        logger.warning("%s is not loaded by itself: %s", chat_model.name, error)


def _trained_tokens(folder: Path) -> int:
    try:
        manifest = json.loads((folder / recipes.OUTPUT / "manifest.json").read_text(encoding="utf-8"))
        return round(float(manifest["data"]["tokens"] * manifest["metrics"].get("epoch", 1)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unfinished("The run left no manifest that can be read.") from error


def _weights(parent: ChatModel | None, folder: Path) -> dict[str, Any]:
    """How a worker loads it: the adapter on its parent's weights, where the parent is served by an engine that can.

    A worker that hosts the parent then shares its memory. Else the merged weights, in safetensors.
    """
    output = folder / recipes.OUTPUT
    if parent is not None and recipes.takes_adapters(parent):
        if not (output / "adapter_config.json").is_file():
            raise Unfinished("The run left no adapter.")
        return {
            "engine": parent.engine,
            "checkpoint": parent.checkpoint,
            "template": parent.template,
            "slots": parent.slots,
            "context_length": parent.context_length,
            "engine_options": {**_of_the_weights(parent), "adapter": str(output)},
        }
    merged = output / "merged"
    if not (merged / "config.json").is_file():
        raise Unfinished("The run left no merged weights.")
    return {"engine": ChatModel.Engine.TRANSFORMERS, "checkpoint": str(merged)}


def _of_the_weights(parent: ChatModel) -> dict[str, Any]:
    """The parent's options, without the adapters that it serves under names of their own."""
    return {name: value for name, value in parent.engine_options.items() if name != "adapters"}


def _system_prompt(parent: ChatModel | None, folder: Path) -> str:
    """That of the examples, so that it is served with the prompt it has learnt with; the parent's when they differ."""
    common = materials.system_prompt(train=folder / materials.TRAIN)
    return common if common is not None else parent.system_prompt if parent else ""
