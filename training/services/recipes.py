"""Which command trains a job: its recipe, and the recipe's arguments."""

import sys
from pathlib import Path
from typing import Final

from training.models import Job
from training.services import materials
from training.services.errors import Untrainable
from workers.models import ChatModel
from workers.models.catalog import ChatModelQuerySet

LEARNING_RATE: Final = 2e-4
"""What `learning_rate_multiplier` multiplies; usual for LoRA (arXiv 2305.14314, table 9)."""
PREFERENCE_LEARNING_RATE: Final = 1e-5
EPOCHS: Final = 3
BATCH_SIZE: Final = 4
BETA: Final = 0.1
RANK: Final = 16
LORA: Final = ("--method", "lora", "--lora_r", str(RANK), "--lora_alpha", "32")
LONGEST: Final = 2048
"""Tokens of a row at most: what is usual for the recipes."""
POINTS: Final = "0.005"
"""Share of the steps between two points of the curve: 200 of them, or one a step."""
KEPT_CHECKPOINTS: Final = 3
PROGRESS: Final = "progress.jsonl"
LOG: Final = "log.txt"
OUTPUT: Final = "output"


def trainable() -> ChatModelQuerySet:
    """The chat models of the catalog whose weights could be taught."""
    return ChatModel.objects.filter(
        engine__in=(ChatModel.Engine.LLAMA_CPP, ChatModel.Engine.TRANSFORMERS)
    ).exclude(checkpoint="")


def takes_adapters(parent: ChatModel) -> bool:
    """Whether a worker that hosts `parent` can take the adapter beside it; then nothing has to be merged."""
    return parent.engine == ChatModel.Engine.TRANSFORMERS and "adapter" not in parent.engine_options


def base(*, job: Job) -> ChatModel:
    """The chat model that is taught. Raises `Untrainable`."""
    found = ChatModel.objects.filter(name=job.base_model).first()
    if found is None:
        raise Untrainable("model", f"The chat model {job.base_model} is not in the catalog any more.")
    if not trainable().filter(pk=found.pk).exists():
        raise Untrainable(
            "model",
            f"{found.name} has no weights here that could be trained. Take one of llama.cpp or transformers.",
        )
    return found


def prepare(*, job: Job, folder: Path) -> list[str]:
    """Puts the job's data into `folder`, and returns the command that trains it there. Raises `Untrainable`.

    The same command goes on with an unfinished run.
    """
    chat_model = base(job=job)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    train, validation = materials.lay_out(job=job, folder=folder)
    arguments = ["--model", chat_model.checkpoint, "--data", str(train)]
    if chat_model.template:
        arguments += ["--template", chat_model.template]
    if validation:
        # Measured before the first step as well: an adapter that has learnt nothing is the parent.
        arguments += ["--eval_data", str(validation), "--eval_strategy", "epoch", "--eval_on_start", "True"]
    if not takes_adapters(chat_model):
        arguments += ["--merge", "True"]
    if job.sample_prompts:
        arguments += ["--sample_prompt", *job.sample_prompts]
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
