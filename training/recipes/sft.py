"""Teaches a chat model by example: full fine-tuning, LoRA (with DoRA, rsLoRA) or QLoRA.

    python -m training.recipes.sft --model FOLDER --data train.jsonl --output_dir out --method lora

The same under `torchrun --nproc-per-node 4 -m …`, `accelerate launch -m …` and `deepspeed --module …`. Before the first
step it wants a certificate for tokenizer and template, estimates memory, and measures which layout of the rows learns
fastest. A folder with an unfinished run goes on where its last checkpoint is; the same settings are needed for that.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import EarlyStoppingCallback, HfArgumentParser, PrinterCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from training import tokenizing
from training.data import packing
from training.data.certificate import packed_check
from training.data.packing import Layout
from training.files import FileProblem
from training.recipes import checkpoints, estimate, manifest, probe, rows
from training.recipes.arguments import Adapter, Data, Model, translated
from training.recipes.progress import Progress
from training.recipes.refusals import Refusal
from training.recipes.tensors import is_windowed, losses
from training.recipes.trainer import RowTrainer, Samples, Teller

_PADDED: Layout = "padded"
PACKED_ROWS = 4
"""Rows on which packed and unpacked losses are compared before the start."""


@dataclass(slots=True)
class Told:
    """The arguments of a run."""

    model: Model
    data: Data
    adapter: Adapter
    training: TrainingArguments

    @property
    def folder(self) -> Path:
        return Path(self.training.output_dir or ".")

    @property
    def distributed(self) -> bool:
        return self.training.world_size > 1 or bool(self.training.deepspeed) or bool(self.training.fsdp)

    @property
    def mixed(self) -> bool:
        return bool(self.training.bf16 or self.training.fp16)

    def settings(self) -> dict[str, Any]:
        parts = (self.model, self.data, self.adapter)
        own = {name: value for part in parts for name, value in dataclasses.asdict(part).items()}
        return manifest.decisive({**_settings(self.training), **own})


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 2 for a refusal, which is printed and told."""
    told = parse(sys.argv[1:] if arguments is None else arguments)
    progress = Progress(told.data.progress, first=told.training.process_index == 0)
    try:
        run(told, progress)
    except Refusal as refusal:
        progress.tell("refused", field=refusal.field, message=str(refusal))
        sys.stderr.write(f"Refused: {refusal}\n")
        return 2
    return 0


def parse(arguments: Sequence[str]) -> Told:
    current, notes = translated(arguments)
    for note in notes:
        sys.stderr.write(f"--{note.old} {note.new}\n")
    parser = HfArgumentParser(cast("Any", (Model, Data, Adapter, TrainingArguments)))
    parser.set_defaults(**defaults())
    model, data, adapter, training = parser.parse_args_into_dataclasses(current)
    training.remove_unused_columns = False
    training.label_names = ["labels"]
    return Told(model, data, adapter, training)


def defaults() -> dict[str, Any]:
    """Where ours differ from transformers'."""
    return {
        "logging_steps": 10,
        "logging_first_step": True,
        "disable_tqdm": True,
        "lr_scheduler_type": "cosine",
    }


def run(told: Told, progress: Progress) -> None:
    """Raises `Refusal`."""
    try:
        speech = tokenizing.load(told.model.model, told.model.template)
    except FileProblem as error:
        raise Refusal("model", str(error)) from None
    certificate = rows.certified(speech, told.data.data)
    length, limit = told.data.max_length, told.data.limit
    train = rows.read(speech, certificate, told.data.data, max_length=length, limit=limit)
    evaluated = (
        rows.read(speech, certificate, told.data.eval_data, max_length=length)
        if told.data.eval_data
        else None
    )
    settings = {**told.settings(), "data_sha256": train.digest, "certificate": certificate.key}
    before = _begin(told, settings)
    progress.tell(
        "start", data=train.as_dict(), certificate=certificate.as_dict(), resumed=before is not None
    )

    set_seed(told.training.seed)
    model = checkpoints.load(told.model, max_length=length)
    model.config.use_cache = False
    model = checkpoints.with_adapter(
        model, told.model, told.adapter, checkpointing=bool(told.training.activation_checkpointing)
    )
    _check_memory(told, model, train, progress)
    layout = _layout(told, model, speech, train, before, progress)
    if layout != "padded":
        some = sorted(train.examples, key=len)[:PACKED_ROWS]
        packed, unpacked = (losses(model, some, kind, pad=speech.pad) for kind in (layout, _PADDED))
        certificate = certificate.with_check(packed_check(packed, unpacked))
        if not certificate.valid:
            raise Refusal("layout", f"{certificate.problem} Use --layout padded.")

    collator = rows.Collator(layout, speech.pad, told.model.attention, is_windowed(model.config))
    trainer = RowTrainer(
        layout=layout,
        model=model,
        args=told.training,
        data_collator=collator,
        train_dataset=rows.RowSet(train.examples, layout, length, seed=told.training.seed),
        eval_dataset=(
            rows.RowSet(evaluated.examples, "padded", length, seed=0) if evaluated is not None else None
        ),
        callbacks=_callbacks(told, speech, progress),
    )
    trainer.remove_callback(PrinterCallback)  # it would print between our lines
    set_seed(told.training.seed)  # the probe may have drawn random numbers
    last = _last_checkpoint(told.folder) if before else None
    result = trainer.train(resume_from_checkpoint=last)
    _save(told, trainer, speech)
    if trainer.is_world_process_zero():
        summary = {
            "recipe": "sft",
            "settings": settings,
            "config_hash": manifest.config_hash(settings),
            "layout": layout,
            "base": told.model.model,
            "kind": "checkpoint" if told.model.method == "full" else "adapter",
            "template": speech.template.source,
            "certificate": certificate.as_dict(),
            "data": train.as_dict(),
            "metrics": result.metrics,
            "history": trainer.state.log_history,
            "best_checkpoint": trainer.state.best_model_checkpoint,
            "peak_memory": estimate.peak_memory(),
            "versions": manifest.versions(),
            "commit": manifest.commit(),
        }
        manifest.write(told.folder / manifest.MANIFEST, summary)
        progress.tell("done", folder=str(told.folder), metrics=result.metrics)


def _settings(training: TrainingArguments) -> dict[str, Any]:
    found: dict[str, Any] = training.to_dict()
    return found


def _last_checkpoint(folder: Path) -> str | None:
    found: str | None = get_last_checkpoint(str(folder))
    return found


def _begin(told: Told, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Only the first process writes; the others read what it found before."""
    if told.training.process_index == 0:
        return manifest.start(told.folder, settings, fresh=told.data.fresh)
    path = told.folder / manifest.RUN
    return manifest.read(path) if path.is_file() and _last_checkpoint(told.folder) else None


def _check_memory(told: Told, model: Any, train: rows.Rows, progress: Progress) -> None:
    longest = min(told.data.max_length, max(train.lengths))
    found = estimate.estimate(
        model,
        tokens=told.training.per_device_train_batch_size * longest,
        checkpointing=bool(told.training.activation_checkpointing),
        mixed=told.mixed,
        shards=told.training.world_size if told.training.deepspeed or told.training.fsdp else 1,
    )
    progress.tell("estimate", **found.as_dict())
    if not told.data.force:
        estimate.check(found)


def _layout(
    told: Told,
    model: Any,
    speech: tokenizing.Speech,
    train: rows.Rows,
    before: dict[str, Any] | None,
    progress: Progress,
) -> Layout:
    """As asked for; as it was before; else as measured, where measuring pays."""
    if told.data.layout != "auto":
        return cast("Layout", told.data.layout)
    remembered = told.folder / "layout.json"
    if before and remembered.is_file():
        return cast("Layout", manifest.read(remembered)["settings"]["layout"])
    measured: dict[str, float] = {}
    layout: Layout = _PADDED  # a small set: rows full of examples would leave it a handful of steps
    size = told.training.per_device_train_batch_size
    pays = probe.pays(_tokens_of_run(told, train), max_length=told.data.max_length, batch_size=size)
    if pays and told.distributed:
        layout = "flat" if told.model.attention.startswith("flash") else "rows"
    elif pays:
        model.to(told.training.device)
        layout, measured = probe.choose(
            model,
            train.examples,
            max_length=told.data.max_length,
            batch_size=size,
            pad=speech.pad,
            attention=told.model.attention,
            windowed=is_windowed(model.config),
            seed=told.training.seed,
        )
    if told.training.process_index == 0:
        manifest.write(remembered, {"settings": {"layout": layout}, "measured": measured})
    progress.tell("layout", layout=layout, measured=measured, shares=_shares(train, layout, told, speech))
    return layout


def _tokens_of_run(told: Told, train: rows.Rows) -> float:
    training = told.training
    if training.max_steps > 0:
        per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps
        return (
            float(training.max_steps * per_step * training.world_size)
            * sum(train.lengths)
            / len(train.examples)
        )
    return float(training.num_train_epochs) * sum(train.lengths)


def _shares(train: rows.Rows, layout: Layout, told: Told, speech: tokenizing.Speech) -> dict[str, float]:
    """Where the computing will go, from the first hundred batches."""
    size = told.training.per_device_train_batch_size
    lengths = train.lengths
    if layout == "padded":
        batches = [[[i] for i in batch] for batch in packing.grouped(lengths, size, seed=told.training.seed)]
    else:
        plan = packing.plan(lengths, told.data.max_length, seed=told.training.seed)
        batches = [plan[at : at + size] for at in range(0, len(plan), size)]
    chosen = ([[train.examples[index] for index in row] for row in batch] for batch in batches[:100])
    found = packing.shares(packing.collate(batch, pad=speech.pad) for batch in chosen)
    return {name: round(value, 4) for name, value in found.items()}


def _callbacks(told: Told, speech: tokenizing.Speech, progress: Progress) -> list[Any]:
    found: list[Any] = [Teller(progress)]
    if told.data.sample_prompt:
        found.append(Samples(speech, told.data.sample_prompt, progress))
    if told.data.early_stopping:
        if not told.data.eval_data:
            raise Refusal("early_stopping", "Early stopping needs --eval_data.")
        told.training.load_best_model_at_end = True
        told.training.metric_for_best_model = told.training.metric_for_best_model or "eval_loss"
        told.training.greater_is_better = False
        found.append(EarlyStoppingCallback(told.data.early_stopping))
    return found


def _save(told: Told, trainer: RowTrainer, speech: tokenizing.Speech) -> None:
    """The weights as safetensors. Trainer gathers sharded ones piece by piece (ZeRO-3, FSDP)."""
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model()
    if not trainer.is_world_process_zero():
        return
    checkpoints.save_tokenizer(speech, told.folder)
    if told.adapter.merge and told.model.method != "full":
        checkpoints.merge(told.model, told.folder, speech, told.folder / "merged")


if __name__ == "__main__":
    sys.exit(main())
