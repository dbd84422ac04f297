"""Fine-tuning in the OpenAPI document."""

from typing import Any, Final

from training.api import protocol
from training.models import Job
from workers.api.describing import (
    INTEGER,
    LABELS,
    MAYBE_SECONDS,
    MAYBE_STRING,
    OBJECT,
    SECONDS,
    STRING,
    Operation,
    Schema,
    any_of,
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
from workers.api.models.openapi import DELETE, RETRIEVE

MODEL_OPERATIONS: Final = {"get": RETRIEVE, "delete": DELETE}


def _hyperparameters(limits: dict[str, tuple[float, float]]) -> Schema:
    return closed(
        {
            name: any_of(
                const("auto"),
                {
                    "type": "integer" if isinstance(least, int) else "number",
                    "minimum": least,
                    "maximum": most,
                },
            )
            for name, (least, most) in limits.items()
        }
    )


METHODS: Final = {
    Job.Method.SUPERVISED.value: _hyperparameters(protocol.LIMITS),
    Job.Method.DPO.value: _hyperparameters(protocol.DPO_LIMITS),
}
REQUEST: Final = body(
    {
        "model": {"type": "string", "maxLength": 200, "description": "The chat model to start from."},
        "training_file": said(STRING, "A file with the purpose 'fine-tune'."),
        "validation_file": STRING,
        "method": any_of(
            *(
                closed({"type": const(name), name: closed({"hyperparameters": limits})}, required=["type"])
                for name, limits in METHODS.items()
            )
        ),
        "hyperparameters": said(METHODS["supervised"], "The older place; without 'method' only."),
        "suffix": {"type": "string", "maxLength": protocol.LONGEST_SUFFIX, "pattern": protocol.SUFFIX},
        "seed": {"type": "integer", **protocol.SEED},
        "metadata": LABELS,
    },
    required=["model", "training_file"],
    unsupported=protocol.UNSUPPORTED,
)  # fmt: skip
JOB: Final = obj(
    {
        "id": STRING,
        "object": const("fine_tuning.job"),
        "model": STRING,
        "status": one_of(Job.Status.values),
        "created_at": SECONDS,
        "finished_at": MAYBE_SECONDS,
        "estimated_finish": MAYBE_SECONDS,
        "fine_tuned_model": MAYBE_STRING,
        "training_file": STRING,
        "validation_file": MAYBE_STRING,
        "hyperparameters": OBJECT,
        "method": OBJECT,
        "trained_tokens": {"type": ["integer", "null"]},
        "error": nullable(OBJECT),
        "seed": {"type": ["integer", "null"]},
        "user_provided_suffix": MAYBE_STRING,
        "metadata": nullable(LABELS),
    }
)
EVENT: Final = obj(
    {
        "id": STRING,
        "object": const("fine_tuning.job.event"),
        "created_at": SECONDS,
        "level": STRING,
        "message": STRING,
        "type": STRING,
        "data": nullable(OBJECT),
    }
)
CHECKPOINT: Final = obj(
    {
        "id": STRING,
        "object": const("fine_tuning.job.checkpoint"),
        "created_at": SECONDS,
        "fine_tuning_job_id": STRING,
        "fine_tuned_model_checkpoint": STRING,
        "step_number": INTEGER,
        "metrics": OBJECT,
    }
)
define(
    {
        "FineTuningRequest": REQUEST,
        "FineTuningJob": JOB,
        "FineTuningEvent": EVENT,
        "FineTuningCheckpoint": CHECKPOINT,
    }
)
define_lists(
    {
        "FineTuningJobList": "FineTuningJob",
        "FineTuningEventList": "FineTuningEvent",
        "FineTuningCheckpointList": "FineTuningCheckpoint",
    }
)


def _operation(name: str, summary: str, answer: str, **more: Any) -> Operation:
    return Operation(id=name, tag="Fine-tuning", summary=summary, answer=ref(answer), **more)


LIST: Final = _operation("listJobs", "List your fine-tuning jobs", "FineTuningJobList", query=paging())
CREATE: Final = _operation(
    "createJob",
    "Fine-tune a chat model",
    "FineTuningJob",
    body=ref("FineTuningRequest"),
    example={"model": "MODEL", "training_file": "file-…", "suffix": "mine"},
    code={
        "python": """\
from openai import OpenAI

client = OpenAI(base_url="BASE_URL/v1", api_key="KEY")
with open("examples.jsonl", "rb") as file:
    uploaded = client.files.create(file=file, purpose="fine-tune")
job = client.fine_tuning.jobs.create(model="MODEL", training_file=uploaded.id, suffix="mine")
print(job.id, job.status)
""",
    },
)
GET: Final = _operation("retrieveJob", "Retrieve a fine-tuning job", "FineTuningJob")
EVENTS: Final = _operation("listEvents", "List what happened in a job", "FineTuningEventList", query=paging())
CHECKPOINTS: Final = _operation(
    "listCheckpoints", "List a job's checkpoints", "FineTuningCheckpointList", query=paging(default=10)
)
CANCEL: Final = _operation("cancelJob", "Cancel a job", "FineTuningJob")
PAUSE: Final = _operation("pauseJob", "Pause a job", "FineTuningJob")
RESUME: Final = _operation("resumeJob", "Go on with a paused job", "FineTuningJob")
