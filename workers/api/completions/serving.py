"""What happens to a completion between its request and its last byte."""

import time
from dataclasses import dataclass

from django.http.response import HttpResponseBase

from chatsite.accounts.models import ApiKey
from workers.api import submission
from workers.api.base import json_response
from workers.api.chat.serving import gather, several, streamed, time_limit, with_defaults
from workers.api.completions import protocol
from workers.api.completions.protocol import Chunks, CompletionRequest, Layout
from workers.api.models.serving import find
from workers.api.submission import nth_id
from workers.protocol import GenerationRequest
from workers.usage_log import USAGE_TASK


def submit(
    *, request: CompletionRequest, api_key: ApiKey, request_id: str, read_timeout: float | None = None
) -> "Reply":
    """Hand every prompt to the workers, `n` times. Raises `ApiError`."""
    chat_model = find(request.model)
    now = time.time()
    generations = []
    for number, prompt in enumerate(request.prompts):
        generation = GenerationRequest(
            id=nth_id(request_id, number * request.n),
            chat_model=chat_model.name,
            messages=(),
            prompt=prompt,
            suffix=request.suffix,
            echo=request.echo,
            sampling=with_defaults(request.sampling, chat_model),
            deadline=now + time_limit(None if request.stream else read_timeout),
            report_task=USAGE_TASK,
            report_key=submission.report_key(api_key, chat_model.name),
            constraint=request.constraint,
        )
        generations += several(generation, request.n)
    submission.submit_all(generations)
    return Reply(request=request, request_ids=[each.id for each in generations], created=int(now))


@dataclass(slots=True, kw_only=True)
class Reply:
    """Requests that the workers have."""

    request: CompletionRequest
    request_ids: list[str]
    created: int

    async def respond(self) -> HttpResponseBase:
        layout = Layout(len(self.request.prompts), self.request.n)
        if self.request.stream:
            chunks = Chunks(
                self.request_ids[0], self.created, self.request.model, layout, self.request.include_usage
            )
            return await streamed(self.request_ids, chunks)
        return json_response(
            protocol.answer(
                request_id=self.request_ids[0],
                created=self.created,
                model=self.request.model,
                choices=await gather(self.request_ids),
                layout=layout,
                logprobs=self.request.sampling.logprobs,
            )
        )

    def abandon(self) -> None:
        submission.take_back(self.request_ids)
