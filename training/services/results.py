"""What comes of a finished run: a hidden chat model in the catalog."""

import json
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import transaction

from training.models import Job
from training.services import jobs, recipes
from workers.models import ChatModel
from workers.services import catalog


class Unfinished(Exception):  # noqa: N818 - reads as what happened
    """The run's folder does not hold what a finished run leaves."""


def register(*, job: Job, folder: Path) -> ChatModel | None:
    """Enter what the job made into the catalog, hidden, and let the job succeed; None when it is not wanted any more.

    The weights are the merged ones, in safetensors, for the transformers engine; the adapter stays beside them.
    Raises `Unfinished`.
    """
    output = folder / recipes.OUTPUT
    merged = output / "merged"
    try:
        manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
        tokens = round(manifest["data"]["tokens"] * manifest["metrics"].get("epoch", 1))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unfinished("The run left no manifest that can be read.") from error
    if not (merged / "config.json").is_file():
        raise Unfinished("The run left no merged weights.")
    parent = ChatModel.objects.filter(name=job.base_model).first()
    with transaction.atomic():
        try:
            chat_model = catalog.add(
                name=job.result_name,
                description=f"{job.base_model}, fine-tuned by {job.public_id}"[:300],
                engine=ChatModel.Engine.TRANSFORMERS,
                checkpoint=str(merged),
                licence=parent.licence if parent else "",
                system_prompt=parent.system_prompt if parent else "",
                published=False,
            )
        except ValidationError as error:
            raise Unfinished(f"The catalog does not take it: {' '.join(error.messages)}") from error
        if not jobs.succeed(job=job, fine_tuned_model=chat_model.name, trained_tokens=tokens):
            transaction.set_rollback(True)
            return None
    return chat_model
