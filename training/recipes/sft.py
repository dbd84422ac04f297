"""Teaches a chat model by example: full fine-tuning, LoRA (with DoRA, rsLoRA) or QLoRA.

    python -m training.recipes.sft --model FOLDER --data train.jsonl --output_dir out --method lora

The same under `torchrun --nproc-per-node 4 -m …`, `accelerate launch -m …` and `deepspeed --module …`. Before the first
step it wants a certificate for tokenizer and template, estimates memory, and measures which layout of the rows learns
fastest. A folder with an unfinished run goes on where its last checkpoint is; the same settings are needed for that.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final, cast

from transformers import PrinterCallback, TrainerCallback, set_seed

from training import tokenizing
from training.data import packing
from training.data.certificate import Certificate, packed_check
from training.data.masking import Example
from training.data.packing import Layout
from training.recipes import checkpoints, common, heads, manifest, probe, rows
from training.recipes.common import Told
from training.recipes.progress import Progress
from training.recipes.refusals import Refusal
from training.recipes.tensors import is_windowed, losses
from training.recipes.trainer import RowTrainer

_PADDED: Layout = "padded"
PACKED_ROWS = 4
"""Rows on which packed and unpacked losses are compared before the start."""


ARGUMENTS: Final[dict[str, Any]] = {}
"""What `common.parse` takes beside the command line."""


def main(arguments: Sequence[str] | None = None) -> int:
    return common.main(run, arguments, **ARGUMENTS)


def run(told: Told, progress: Progress) -> None:
    """Raises `Refusal`."""
    speech = common.speech_of(told)
    certificate = rows.certified(speech, told.data.data)
    length, limit = told.data.max_length, told.data.limit
    train = rows.read(speech, certificate, told.data.data, max_length=length, limit=limit)
    evaluated = (
        rows.read(speech, certificate, told.data.eval_data, max_length=length)
        if told.data.eval_data
        else None
    )
    settings = {**told.settings(), "data_sha256": train.digest, "certificate": certificate.key}
    before = common.begin(told, settings)
    progress.tell(
        "start", data=train.as_dict(), certificate=certificate.as_dict(), resumed=before is not None
    )

    set_seed(told.training.seed)
    model = checkpoints.load(told.model, max_length=length)
    model.config.use_cache = False
    model = checkpoints.with_adapter(
        model, told.model, told.adapter, checkpointing=bool(told.training.activation_checkpointing)
    )
    longest = min(length, max(train.lengths))
    common.check_memory(told, model, told.training.per_device_train_batch_size * longest, progress)
    layout = _layout(told, model, speech, train, before, progress)
    some = sorted(train.examples, key=len)[:PACKED_ROWS]
    check = PackedCheck(certificate, some, layout, speech.pad)
    if not told.sharded_weights:
        check.on(model)
    collator = rows.Collator(layout, speech.pad, told.model.attention, is_windowed(model.config))
    dataset = rows.RowSet(train.examples, layout, length, seed=told.training.seed)
    if before is None:
        row = dataset[dataset.middling]
        tokens = sum(map(len, row))
        common.tell_duration(told, model, collator([row]), tokens, dataset.lengths, progress)
    if told.data.estimate_only:
        return
    # Parted weights (ZeRO-3) cannot be asked before the trainer has them.
    head = None if told.sharded_weights else heads.usable(model, collator([[example] for example in some]))
    trainer = RowTrainer(
        layout=layout,
        head=head,
        model=model,
        args=told.training,
        data_collator=collator,
        train_dataset=dataset,
        eval_dataset=(
            rows.RowSet(evaluated.examples, "padded", length, seed=0) if evaluated is not None else None
        ),
        callbacks=[check, *common.callbacks(told, speech, progress)],
    )
    trainer.remove_callback(PrinterCallback)  # it would print between our lines
    set_seed(told.training.seed)  # what was measured may have drawn random numbers
    last = common.last_checkpoint(told.folder) if before else None
    result = trainer.train(resume_from_checkpoint=last)
    common.save(told, trainer, speech)
    common.finish(
        told,
        trainer,
        progress,
        recipe="sft",
        settings=settings,
        metrics=result.metrics,
        template=speech.template.source,
        certificate=check.certificate,
        data=train.as_dict(),
        layout=layout,
    )


class PackedCheck(TrainerCallback):
    """That packed rows have the loss of unpacked ones, before the first step.

    Parted weights (ZeRO-3, FSDP) can only be asked once the trainer has them: then it is made as its loop begins.
    """

    def __init__(self, certificate: Certificate, examples: Sequence[Example], layout: Layout, pad: int):
        self.certificate = certificate
        self._examples, self._layout, self._pad = examples, layout, pad
        self._done = layout == _PADDED

    def on(self, model: Any) -> None:
        """Raises `Refusal`."""
        if self._done:
            return
        self._done = True
        packed, unpacked = (
            losses(model, self._examples, kind, pad=self._pad) for kind in (self._layout, _PADDED)
        )
        self.certificate = self.certificate.with_check(packed_check(packed, unpacked))
        if not self.certificate.valid:
            raise Refusal("layout", f"{self.certificate.problem} Use --layout padded.")

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        self.on(model)


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
    if told.first and not told.data.estimate_only:
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
    rows_ = rows.RowSet(train.examples, layout, told.data.max_length, seed=told.training.seed)
    plan = rows_.batches(told.training.per_device_train_batch_size, seed=told.training.seed)
    chosen = ([rows_[index] for index in batch] for batch in plan[:100])
    found = packing.shares(packing.collate(batch, pad=speech.pad) for batch in chosen)
    return {name: round(value, 4) for name, value in found.items()}


if __name__ == "__main__":
    sys.exit(main())
