"""Batches in the OpenAPI document."""

from typing import Final

from workers.api.batches import protocol
from workers.api.describing import (
    INTEGER,
    LABELS,
    MAYBE_SECONDS,
    MAYBE_STRING,
    OBJECT,
    SECONDS,
    STRING,
    Operation,
    body,
    closed,
    const,
    define,
    define_lists,
    nullable,
    obj,
    one_of,
    paging,
    ref,
    said,
)
from workers.api.files.protocol import LIFE
from workers.models import Batch
from workers.services.batches import ENDPOINTS

REQUEST: Final = body(
    {
        "input_file_id": said(STRING, "A file with the purpose 'batch'."),
        "endpoint": one_of(ENDPOINTS),
        "completion_window": one_of(protocol.WINDOWS),
        "metadata": LABELS,
        "output_expires_after": closed(
            {"anchor": const("created_at"), "seconds": {"type": "integer", **LIFE}},
            required=["anchor", "seconds"],
        ),
    },
    required=["input_file_id", "endpoint", "completion_window"],
)
BATCH: Final = obj(
    {
        "id": STRING,
        "object": const("batch"),
        "endpoint": STRING,
        "errors": nullable(OBJECT),
        "input_file_id": STRING,
        "completion_window": STRING,
        "status": one_of(Batch.Status.values),
        "output_file_id": MAYBE_STRING,
        "error_file_id": MAYBE_STRING,
        "created_at": SECONDS,
        **{
            f"{moment}_at": MAYBE_SECONDS
            for moment in (
                "in_progress", "expires", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled",
            )
        },
        "request_counts": obj({"total": INTEGER, "completed": INTEGER, "failed": INTEGER}),
        "metadata": nullable(LABELS),
    }
)  # fmt: skip
define({"BatchRequest": REQUEST, "Batch": BATCH})
define_lists({"BatchList": "Batch"})
TAG: Final = "Batches"
LIST: Final = Operation(
    id="listBatches", tag=TAG, summary="List your batches", query=paging(), answer=ref("BatchList")
)
CREATE: Final = Operation(
    id="createBatch",
    tag=TAG,
    summary="Run a file of requests when nobody waits",
    description='Each line is {"custom_id", "method", "url", "body"}. Live requests go first.',
    body=ref("BatchRequest"),
    example={
        "input_file_id": "file-…",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    },
    answer=ref("Batch"),
    code={
        "python": """\
from openai import OpenAI

client = OpenAI(base_url="BASE_URL/v1", api_key="KEY")
with open("requests.jsonl", "rb") as file:
    uploaded = client.files.create(file=file, purpose="batch")
batch = client.batches.create(
    input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
)
print(batch.id, batch.status)
""",
    },
)
RETRIEVE: Final = Operation(id="retrieveBatch", tag=TAG, summary="Retrieve a batch", answer=ref("Batch"))
CANCEL: Final = Operation(id="cancelBatch", tag=TAG, summary="Cancel a batch", answer=ref("Batch"))
