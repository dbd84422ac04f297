"""Showing what a job has made: to people, to the API, and in battles against its parent."""

from django.db import transaction

from arena.services import matchmaking
from training.models import Job
from training.services import jobs
from workers.models import ChatModel
from workers.services import catalog


class NotMade(Exception):  # noqa: N818 - reads as what happened
    """The job has made no chat model, or it is not in the catalog any more. The text is a sentence."""


class NoParent(Exception):  # noqa: N818
    """The chat model it was made from is not in the catalog any more, so they cannot fight."""


def made_by(*, job: Job) -> ChatModel:
    """The chat model of a job. Raises `NotMade`."""
    if not job.fine_tuned_model:
        raise NotMade(f"{job.public_id} has made no chat model: it is {job.status}.")
    found = ChatModel.objects.filter(name=job.fine_tuned_model).first()
    if found is None:
        raise NotMade(f"{job.fine_tuned_model} is not in the catalog any more.")
    return found


@transaction.atomic
def publish(*, job: Job, battles: float = 0.0) -> ChatModel:
    """Show it; `battles` is the share of all battles, 0 to 1, in which it meets its parent.

    Raises `NotMade`, `NoParent`, and `ValidationError` for a share that is none.
    """
    made = made_by(job=job)
    if battles:
        parent = ChatModel.objects.filter(name=job.base_model).first()
        if parent is None:
            raise NoParent(f"{job.base_model} is not in the catalog any more, so there is nobody to fight.")
        matchmaking.pin(first=parent, second=made, share=battles)
    if catalog.set_published(chat_models=ChatModel.objects.filter(pk=made.pk), published=True):
        jobs.note(job=job, message=f"Published: {made.name}")
    made.refresh_from_db()
    return made
