"""What every recipe does around its own steps: arguments, the folder's two files, the memory, saving.

A recipe is a function `run(told, progress)` that raises `Refusal`, and `main` runs it.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

from transformers import EarlyStoppingCallback, HfArgumentParser, Trainer, TrainingArguments
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)
from transformers.trainer import TRAINER_STATE_NAME

from training import tokenizing
from training.data.certificate import Certificate
from training.files import FileProblem
from training.recipes import checkpoints, duration, estimate, manifest
from training.recipes.arguments import Adapter, Data, Model, translated
from training.recipes.progress import Progress
from training.recipes.refusals import Refusal
from training.recipes.trainer import Samples, Teller


@dataclass(slots=True)
class Told:
    """The arguments of a run."""

    model: Model
    data: Data
    adapter: Adapter
    training: TrainingArguments
    more: Any = None
    """A recipe's own arguments: a dataclass."""

    @property
    def folder(self) -> Path:
        return Path(self.training.output_dir or ".")

    @property
    def distributed(self) -> bool:
        return self.training.world_size > 1 or self.sharded

    @property
    def sharded(self) -> bool:
        """Whether devices share the optimizer and gradients among them."""
        return bool(self.training.deepspeed or self.training.fsdp)

    @property
    def sharded_weights(self) -> bool:
        return is_deepspeed_zero3_enabled() or bool(self.training.fsdp)

    @property
    def mixed(self) -> bool:
        return bool(self.training.bf16 or self.training.fp16)

    @property
    def first(self) -> bool:
        return bool(self.training.process_index == 0)

    def settings(self) -> dict[str, Any]:
        parts = [part for part in (self.model, self.data, self.adapter, self.more) if part is not None]
        own = {name: value for part in parts for name, value in dataclasses.asdict(part).items()}
        return manifest.decisive({**self.training.to_dict(), **own})


def main(
    run: Callable[[Told, Progress], None],
    arguments: Sequence[str] | None = None,
    *,
    training: type[TrainingArguments] = TrainingArguments,
    more: type | None = None,
    **defaults: Any,
) -> int:
    """The exit status: 2 for a refusal, which is printed and told."""
    told = parse(sys.argv[1:] if arguments is None else arguments, training=training, more=more, **defaults)
    progress = Progress(told.data.progress, first=told.first)
    try:
        check_reports(told)
        run(told, progress)
    except Refusal as refusal:
        progress.tell("refused", field=refusal.field, message=str(refusal))
        sys.stderr.write(f"Refused: {refusal}\n")
        return 2
    return 0


def parse(
    arguments: Sequence[str],
    *,
    training: type[TrainingArguments] = TrainingArguments,
    more: type | None = None,
    **defaults: Any,
) -> Told:
    current, notes = translated(arguments)
    for note in notes:
        sys.stderr.write(f"--{note.old} {note.new}\n")
    found = parser(training=training, more=more, **defaults).parse_args_into_dataclasses(current)
    told = Told(*found)
    told.training.remove_unused_columns = False
    told.training.label_names = ["labels"]
    return told


def misunderstood(
    arguments: Sequence[str],
    *,
    training: type[TrainingArguments] = TrainingArguments,
    more: type | None = None,
    **defaults: Any,
) -> str:
    """What is wrong with a command line, or "". What depends on the machine, as bf16 does, is not looked at."""
    strict = parser(training=training, more=more, **defaults)

    def complain(message: str) -> NoReturn:
        raise ValueError(message)

    strict.error = complain
    try:
        _, unknown = strict.parse_known_args(translated(arguments)[0])
    except ValueError as error:
        return str(error)
    return f"unrecognized arguments: {' '.join(unknown)}" if unknown else ""


def parser(
    *,
    training: type[TrainingArguments] = TrainingArguments,
    more: type | None = None,
    **defaults: Any,
) -> HfArgumentParser:
    kinds = [Model, Data, Adapter, training, *([more] if more else [])]
    made = HfArgumentParser(cast("Any", kinds))
    # Where ours differ from transformers'.
    ours = {
        "logging_steps": 10,
        "logging_first_step": True,
        "disable_tqdm": True,
        "lr_scheduler_type": "cosine",
    }
    made.set_defaults(**ours, **defaults)
    return made


def check_reports(told: Told) -> None:
    """Raises `Refusal` for a logbook that is not installed, which would come to light only after all was loaded."""
    here = get_available_reporting_integrations()
    for name in told.training.report_to or ():
        if name != "none" and name not in here:
            known = name in INTEGRATION_TO_CALLBACK
            remedy = (
                f"pip install {name}, or --report_to none" if known else f"take {', '.join(here)} or none"
            )
            raise Refusal("report_to", f"{name} is not {'installed' if known else 'known'} here: {remedy}.")


def speech_of(told: Told) -> tokenizing.Speech:
    try:
        return tokenizing.load(told.model.model, told.model.template)
    except FileProblem as error:
        raise Refusal("model", str(error)) from None


def last_checkpoint(folder: Path) -> str | None:
    """The newest that is whole. `Trainer` writes its own state last: one without it was cut off in mid-write."""
    whole = [path for path in folder.glob("checkpoint-*") if (path / TRAINER_STATE_NAME).is_file()]
    numbered = {int(number): path for path in whole if (number := path.name.partition("-")[2]).isdigit()}
    return str(numbered[max(numbered)]) if numbered else None


def begin(told: Told, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What is known of an unfinished run in the folder. Only the first process writes; the others read."""
    if told.data.estimate_only:
        return None
    if told.first:
        return manifest.start(told.folder, settings, fresh=told.data.fresh)
    path = told.folder / manifest.RUN
    return manifest.read(path) if path.is_file() and last_checkpoint(told.folder) else None


def check_memory(told: Told, model: Any, tokens: int, progress: Progress) -> None:
    """`tokens` are those of a batch on one device. Raises `Refusal` when it cannot fit."""
    found = estimate.estimate(
        model,
        tokens=tokens,
        checkpointing=bool(told.training.activation_checkpointing),
        mixed=told.mixed,
        shards=told.training.world_size if told.sharded else 1,
        weight_shards=told.training.world_size if told.sharded_weights else 1,
    )
    progress.tell("estimate", **found.as_dict())
    if not told.data.force:
        estimate.check(found)


def tell_duration(
    told: Told, model: Any, inputs: duration.Inputs, tokens: int, lengths: Sequence[int], progress: Progress
) -> None:
    """Times `inputs`, which hold `tokens` of them, for a training over rows of `lengths`.

    Weights that are parted among devices are not looked at: no device could hold them in one piece.
    """
    if told.sharded_weights:
        return
    model.to(told.training.device)
    per_second = duration.speed(
        model, inputs, tokens, checkpointing=bool(told.training.activation_checkpointing)
    )
    found = duration.estimate(lengths, told.training, per_second)
    progress.tell("duration", **found.as_dict(), words=duration.in_words(found.seconds))


def callbacks(told: Told, speech: tokenizing.Speech | None, progress: Progress) -> list[Any]:
    """`speech`: how to ask the model; None where nobody can."""
    found: list[Any] = [Teller(progress)]
    if told.data.sample_prompt:
        if speech is None:
            raise Refusal("sample_prompt", "An encoder-decoder answers no samples on the way; leave it out.")
        found.append(Samples(speech, told.data.sample_prompt, progress))
    if told.data.early_stopping:
        if not told.data.eval_data:
            raise Refusal("early_stopping", "Early stopping needs --eval_data.")
        told.training.load_best_model_at_end = True
        told.training.metric_for_best_model = told.training.metric_for_best_model or "eval_loss"
        told.training.greater_is_better = False
        found.append(EarlyStoppingCallback(told.data.early_stopping))
    return found


def save(told: Told, trainer: Trainer, speech: tokenizing.Speech) -> None:
    """The weights as safetensors. Trainer gathers sharded ones piece by piece (ZeRO-3, FSDP)."""
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model()
    if not trainer.is_world_process_zero():
        return
    checkpoints.save_tokenizer(speech, told.folder)
    if told.adapter.merge and told.model.method != "full":
        whole = not told.distributed and told.model.method == "lora"
        checkpoints.merge(
            told.model,
            told.folder,
            speech,
            told.folder / "merged",
            trained=trainer.model if whole else None,
        )


def finish(
    told: Told,
    trainer: Trainer,
    progress: Progress,
    *,
    recipe: str,
    settings: dict[str, Any],
    metrics: dict[str, Any],
    template: str,
    certificate: Certificate | None,
    data: dict[str, Any],
    layout: str = "padded",
) -> None:
    """Writes the manifest, as the last file of all."""
    if not trainer.is_world_process_zero():
        return
    summary = {
        "recipe": recipe,
        "settings": settings,
        "config_hash": manifest.config_hash(settings),
        "layout": layout,
        "base": told.model.model,
        "kind": "checkpoint" if told.model.method == "full" else "adapter",
        "template": template,
        "certificate": certificate.as_dict() if certificate else None,
        "data": data,
        "metrics": metrics,
        "history": trainer.state.log_history,
        "best_checkpoint": trainer.state.best_model_checkpoint,
        "peak_memory": estimate.peak_memory(),
        "versions": manifest.versions(),
        "commit": manifest.commit(),
    }
    manifest.write(told.folder / manifest.MANIFEST, summary)
    progress.tell("done", folder=str(told.folder), metrics=metrics)
