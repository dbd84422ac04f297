"""What clients may do with fine-tuning jobs. Somebody else's does not exist."""

from collections.abc import Callable

from chatsite.accounts.models import ApiKey, User
from chatsite.accounts.services import access
from training.api.protocol import JobRequest
from training.models import Job
from training.services import jobs
from workers import client
from workers.api import caller, errors
from workers.api.files.serving import find as find_file
from workers.api.models.serving import find as find_model
from workers.api.pages import as_id
from workers.models import ApiFile, ChatModel
from workers.services import catalog


def create(api_key: ApiKey, request: JobRequest) -> Job:
    chat_model = find_model(request.model)
    owner = api_key.owner
    training_file = _examples(owner, request.training_file, "training_file")
    validation = request.validation_file and _examples(owner, request.validation_file, "validation_file")
    try:
        job = jobs.create(
            owner=owner,
            api_key=api_key,
            base_model=chat_model.name,
            training_file=training_file,
            validation_file=validation or None,
            method=request.method,
            hyperparameters=request.hyperparameters,
            suffix=request.suffix,
            seed=request.seed,
            metadata=request.metadata,
        )
    except jobs.TooMany:
        raise errors.Busy(
            f"You have {jobs.MOST_OPEN} jobs under way, the most there can be. Wait for one to end.",
            code="too_many_jobs",
            headers=errors.NO_RETRY,
        ) from None
    job.refresh_from_db()
    return job


def _examples(owner: User, public_id: str, param: str) -> ApiFile:
    file = find_file(owner, public_id, param=param)
    if file.purpose != ApiFile.Purpose.FINE_TUNE:
        raise errors.InvalidParameter(
            param, f"names a file for '{file.purpose}'. Upload it with the purpose 'fine-tune'."
        )
    return file


def find(owner: User, public_id: str) -> Job:
    job = Job.objects.filter(owner=owner, public_id=as_id(public_id)).first()
    if job is None:
        raise errors.NotFound(f"There is no fine-tuning job '{public_id[:60]}'.", code="job_not_found")
    return job


def delete_model(owner: User, name: str) -> None:
    """Take a fine-tuned chat model of `owner`'s out of the catalog. One that a worker still hosts is hidden instead."""
    chat_model = _made_by(owner, name)
    if client.is_served(chat_model.name):
        # Its worker's next heartbeat would enter it anew.
        catalog.set_published(chat_models=ChatModel.objects.filter(pk=chat_model.pk), published=False)
    else:
        catalog.remove(chat_model=chat_model)


def _made_by(owner: User, name: str) -> ChatModel:
    """What a job of `owner`'s made, though nobody may see it yet; somebody else's hidden one does not exist."""
    who = caller.current()
    if who is None or access.may_use(api_key=who.api_key, chat_model=name):
        made = Job.objects.filter(owner=owner, fine_tuned_model=as_id(name)).exists()
        chat_model = ChatModel.objects.filter(name=name).first() if made else None
        if chat_model is not None:
            return chat_model
    find_model(name)
    raise errors.Forbidden("You can delete the models that your own fine-tuning jobs made, and no others.")


def change(job: Job, how: Callable[..., None]) -> None:
    """Cancel, pause or resume it."""
    try:
        how(job=job)
    except jobs.WrongState as error:
        raise errors.InvalidRequest(
            f"The job is '{error.status}': it cannot be {_PAST[how]} now.", code="wrong_job_state"
        ) from None
    job.refresh_from_db()


_PAST = {jobs.cancel: "cancelled", jobs.pause: "paused", jobs.resume: "resumed"}
