"""What happens to batches between their making and their end, as far as clients have a say in it."""

from django.db.models import QuerySet

from chatsite.accounts.models import ApiKey, User
from workers.api import errors
from workers.api.batches.protocol import WINDOWS, BatchRequest
from workers.api.files.serving import find as find_file
from workers.api.pages import as_id
from workers.models import ApiFile, Batch
from workers.services import batches


def create(api_key: ApiKey, request: BatchRequest) -> Batch:
    input_file = find_file(api_key.owner, request.input_file_id, param="input_file_id")
    if input_file.purpose != ApiFile.Purpose.BATCH:
        raise errors.InvalidParameter(
            "input_file_id", f"names a file for '{input_file.purpose}'. Upload it with the purpose 'batch'."
        )
    try:
        return batches.create(
            api_key=api_key,
            input_file=input_file,
            endpoint=request.endpoint,
            window=WINDOWS[request.window],
            window_name=request.window,
            metadata=request.metadata,
            output_lifetime=request.output_lifetime,
        )
    except batches.TooMany:
        raise errors.Busy(
            f"You have {batches.MOST_OPEN} batches under way, the most there can be. Wait for one to end.",
            code="too_many_batches",
            headers=errors.NO_RETRY,
        ) from None


def all_of(owner: User) -> QuerySet[Batch]:
    return Batch.objects.filter(owner=owner).select_related("output_file", "error_file")


def find(owner: User, public_id: str) -> Batch:
    batch = all_of(owner).filter(public_id=as_id(public_id)).first()
    if batch is None:
        raise errors.NotFound(f"There is no batch '{public_id[:60]}'.", code="batch_not_found")
    return batch


def cancel(batch: Batch) -> None:
    try:
        batches.request_cancel(batch=batch)
    except batches.Ended:
        raise errors.InvalidRequest(
            f"The batch has ended already: it is '{batch.status}'.", code="batch_ended"
        ) from None
