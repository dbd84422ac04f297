"""Which command trains a job: its recipe, and the recipe's arguments."""

import shutil
import sys
from pathlib import Path
from typing import Final

from training.models import Job
from workers.models import ApiFile, ChatModel

LEARNING_RATE: Final = 2e-4
"""What `learning_rate_multiplier` multiplies; usual for LoRA (arXiv 2305.14314, table 9)."""
PREFERENCE_LEARNING_RATE: Final = 1e-5
EPOCHS: Final = 3
BATCH_SIZE: Final = 4
BETA: Final = 0.1
LORA: Final = ("--method", "lora", "--lora_r", "16", "--lora_alpha", "32", "--merge", "True")
POINTS: Final = "0.005"
"""Share of the steps between two points of the curve: 200 of them, or one a step."""
KEPT_CHECKPOINTS: Final = 3
PROGRESS: Final = "progress.jsonl"
LOG: Final = "log.txt"
OUTPUT: Final = "output"


class Untrainable(Exception):  # noqa: N818 - reads as what happened
    """The job cannot be trained as it is. The text is a sentence for the person; `param` names what to change."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def base(*, job: Job) -> ChatModel:
    """The chat model that is taught. Raises `Untrainable`."""
    found = ChatModel.objects.filter(name=job.base_model).first()
    if found is None:
        raise Untrainable("model", f"The chat model {job.base_model} is not in the catalog any more.")
    if (
        found.engine not in (ChatModel.Engine.LLAMA_CPP, ChatModel.Engine.TRANSFORMERS)
        or not found.checkpoint
    ):
        raise Untrainable(
            "model",
            f"{found.name} has no weights here that could be trained. Take one of llama.cpp or transformers.",
        )
    return found


def prepare(*, job: Job, folder: Path) -> list[str]:
    """Puts the job's files into `folder`, and returns the command that trains it there. Raises `Untrainable`.

    The files are copied, so that a paused job can go on after they were deleted; the same command goes on with an
    unfinished run.
    """
    chat_model = base(job=job)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    data = _copied(job.training_file, "training_file", folder / "train.jsonl")
    arguments = ["--model", chat_model.checkpoint, "--data", str(data)]
    if chat_model.template:
        arguments += ["--template", chat_model.template]
    if job.validation_file_name:
        validation = _copied(job.validation_file, "validation_file", folder / "validation.jsonl")
        arguments += ["--eval_data", str(validation), "--eval_strategy", "epoch"]
    arguments += ["--output_dir", str(folder / OUTPUT), "--progress", str(folder / PROGRESS), *LORA]
    arguments += ["--seed", str(job.seed), "--logging_steps", POINTS, "--report_to", "none"]
    arguments += ["--save_strategy", "epoch", "--save_total_limit", str(KEPT_CHECKPOINTS)]
    recipe = "preference" if job.method == Job.Method.DPO else "sft"
    return [sys.executable, "-m", f"training.recipes.{recipe}", *arguments, *_learning(job)]


def _learning(job: Job) -> list[str]:
    preference = job.method == Job.Method.DPO
    rate = PREFERENCE_LEARNING_RATE if preference else LEARNING_RATE
    arguments = ["--num_train_epochs", str(_chosen(job, "n_epochs", EPOCHS))]
    arguments += ["--per_device_train_batch_size", str(_chosen(job, "batch_size", BATCH_SIZE))]
    arguments += ["--learning_rate", f"{rate * _chosen(job, 'learning_rate_multiplier', 1.0):g}"]
    if preference:
        arguments += ["--loss", "dpo", "--beta", str(_chosen(job, "beta", BETA))]
    return arguments


def _chosen(job: Job, name: str, automatic: float) -> float:
    value = job.hyperparameters.get(name, "auto")
    return automatic if value == "auto" else value


def _copied(file: ApiFile | None, param: str, target: Path) -> Path:
    if target.is_file():
        return target
    if file is None or not file.path.is_file():
        raise Untrainable(param, "The file is gone. Upload it again, and make a new job.")
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(file.path, part)
    part.replace(target)
    return target
