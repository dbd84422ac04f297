"""The wire of `/v1/fine_tuning/jobs`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from training.models import Checkpoint, Job, JobEvent
from training.services import jobs
from workers.api import metadata
from workers.api.errors import InvalidParameter
from workers.api.fields import Fields, Whole, neutral_only, text

HONOURED: Final = frozenset(
    {"model", "training_file", "validation_file", "hyperparameters", "method", "suffix", "seed", "metadata"}
)
LIMITS: Final[dict[str, tuple[float, float]]] = {
    "n_epochs": (1, 50),
    "batch_size": (1, 256),
    "learning_rate_multiplier": (0.0001, 1000),
}
DPO_LIMITS: Final = {**LIMITS, "beta": (0.0001, 2)}
LONGEST_SUFFIX: Final = 64
SUFFIX: Final = r"^([._-]*[A-Za-z0-9][A-Za-z0-9._-]*)?$"
"""What `jobs.is_suffix` takes, for the document."""
SEED: Final[Whole] = {"minimum": 0, "maximum": 2**31 - 1}
UNSUPPORTED: Final[dict[str, tuple[Any, ...]]] = {"integrations": ([],)}


@dataclass(frozen=True, slots=True)
class JobRequest:
    model: str
    training_file: str
    validation_file: str
    method: str
    hyperparameters: dict[str, Any]
    suffix: str
    seed: int | None
    metadata: dict[str, str]


def parse(body: dict[str, Any]) -> JobRequest:
    """Raises `InvalidParameter` for the first thing that is wrong."""
    fields = Fields(body)
    fields.refuse_unknown(HONOURED | UNSUPPORTED.keys())
    neutral_only(fields, UNSUPPORTED)
    method, hyperparameters = _method(fields)
    return JobRequest(
        model=text(fields.required("model"), "model", longest=200),
        training_file=text(fields.required("training_file"), "training_file"),
        validation_file=fields.text("validation_file") or "",
        method=method,
        hyperparameters=hyperparameters,
        suffix=_suffix(fields.text("suffix", longest=LONGEST_SUFFIX) or ""),
        seed=fields.integer("seed", **SEED),
        metadata=metadata.read(fields.get("metadata")),
    )


def _method(fields: Fields) -> tuple[str, dict[str, Any]]:
    old = fields.get("hyperparameters")
    if fields.get("method") is None:
        return Job.Method.SUPERVISED, _hyperparameters(
            fields.get_or("hyperparameters", {}), "hyperparameters", LIMITS
        )
    if old:
        raise InvalidParameter("hyperparameters", "is the old place; with 'method' they belong inside it.")
    method = Fields(fields.get("method"), "method")
    kind = text(method.required("type"), "method.type")
    if kind not in Job.Method.values:
        raise InvalidParameter("method.type", f"must be one of {', '.join(Job.Method.values)}.")
    method.refuse_unknown({"type", kind})
    inner = Fields(method.get_or(kind, {}), f"method.{kind}")
    inner.refuse_unknown({"hyperparameters"})
    limits = DPO_LIMITS if kind == Job.Method.DPO else LIMITS
    return kind, _hyperparameters(
        inner.get_or("hyperparameters", {}), f"method.{kind}.hyperparameters", limits
    )


def _hyperparameters(value: Any, path: str, limits: dict[str, tuple[float, float]]) -> dict[str, Any]:
    fields = Fields(value, path)
    fields.refuse_unknown(limits)
    found: dict[str, Any] = {}
    for name, (least, most) in limits.items():
        wanted = fields.get(name)
        if wanted is None or wanted == "auto":
            found[name] = "auto"
        elif isinstance(least, int):
            found[name] = fields.integer(name, minimum=least, maximum=int(most))
        else:
            found[name] = fields.number(name, minimum=least, maximum=most)
    return found


def _suffix(suffix: str) -> str:
    if suffix and not jobs.is_suffix(suffix):
        raise InvalidParameter("suffix", "may hold letters, digits and . _ - only.")
    return suffix


def job_object(job: Job) -> dict[str, Any]:
    return {
        "id": job.public_id,
        "object": "fine_tuning.job",
        "model": job.base_model,
        "status": job.status,
        "created_at": _seconds(job.created_at),
        "finished_at": _seconds(job.finished_at),
        "estimated_finish": _seconds(job.estimated_finish),
        "fine_tuned_model": job.fine_tuned_model or None,
        "organization_id": "chatsite",
        "training_file": job.training_file_name,
        "validation_file": job.validation_file_name or None,
        "result_files": [],
        "hyperparameters": {name: job.hyperparameters.get(name, "auto") for name in LIMITS},
        "method": {"type": job.method, job.method: {"hyperparameters": job.hyperparameters}},
        "trained_tokens": job.trained_tokens,
        "error": job.error,
        "seed": job.seed,
        "integrations": [],
        "user_provided_suffix": job.suffix or None,
        "metadata": job.metadata or None,
    }


def event_object(event: JobEvent) -> dict[str, Any]:
    return {
        "id": event.public_id,
        "object": "fine_tuning.job.event",
        "created_at": _seconds(event.created_at),
        "level": event.level,
        "message": event.message,
        "type": event.kind,
        "data": event.data,
    }


def checkpoint_object(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "id": checkpoint.public_id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": _seconds(checkpoint.created_at),
        "fine_tuning_job_id": checkpoint.job.public_id,
        "fine_tuned_model_checkpoint": f"{checkpoint.job.result_name}:ckpt-step-{checkpoint.step}",
        "step_number": checkpoint.step,
        "metrics": {"step": checkpoint.step, **checkpoint.metrics},
    }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
