"""What happens to a request for embeddings."""

import time
from dataclasses import dataclass

from django.http.response import HttpResponseBase

from chatsite.accounts.models import ApiKey
from workers.api import errors, submission
from workers.api.base import json_response
from workers.api.chat.serving import time_limit
from workers.api.embeddings import protocol
from workers.api.embeddings.protocol import EmbeddingsRequest
from workers.api.models.serving import find
from workers.api.single import events_of
from workers.protocol import Embedded, EmbeddingRequest, Finished
from workers.usage_log import USAGE_TASK


def submit(
    *, request: EmbeddingsRequest, api_key: ApiKey, request_id: str, read_timeout: float | None = None
) -> "Vectors":
    """Hand the inputs to the workers, as one request: the engine makes its own batches. Raises `ApiError`."""
    chat_model = find(request.model)
    submission.submit(
        EmbeddingRequest(
            id=request_id,
            chat_model=chat_model.name,
            inputs=request.inputs,
            deadline=time.time() + time_limit(read_timeout),
            dimensions=request.dimensions,
            report_task=USAGE_TASK,
            report_key=submission.report_key(api_key, chat_model.name),
        )
    )
    return Vectors(request=request, request_id=request_id)


@dataclass(slots=True, kw_only=True)
class Vectors:
    """A request that the workers have."""

    request: EmbeddingsRequest
    request_id: str

    async def respond(self) -> HttpResponseBase:
        found: dict[int, str] = {}
        tokens = 0
        for event in await events_of(self.request_id):
            if isinstance(event, Embedded):
                found |= {event.first + number: vector for number, vector in enumerate(event.vectors)}
            elif isinstance(event, Finished):
                tokens = event.usage.prompt_tokens
        if len(found) != len(self.request.inputs):
            raise errors.InternalError("The model did not make a vector for each input.")
        vectors = [found[index] for index in range(len(found))]
        return json_response(protocol.answer(self.request, vectors, tokens))

    def abandon(self) -> None:
        submission.take_back([self.request_id])
