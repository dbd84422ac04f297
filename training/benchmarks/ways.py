"""Ways to train on the same examples with the same model: ours, FastChat's, TRL's. Each is a `Trainer`'s whole loop.

FastChat's is written afresh from its documented recipe: every row padded to the maximum. TRL's is TRL's own trainer
on the same tokens and labels, in the two ways that can be its fastest; of these, grouping by length needs conversations
for several batches to have something to group.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from training.data.masking import Example
from training.data.packing import IGNORED, Layout, collate
from training.recipes import heads
from training.recipes.rows import Collator, RowSet
from training.recipes.tensors import is_windowed, model_inputs
from training.recipes.trainer import RowTrainer

PAD = 0


class Passed(NamedTuple):
    """One pass over all examples."""

    supervised: int
    seconds: float
    """Of processor time, all threads together."""
    loss: float
    """Mean over the supervised tokens."""

    @property
    def speed(self) -> float:
        return self.supervised / self.seconds


@dataclass(frozen=True, slots=True)
class Setting:
    """What all ways share."""

    model: Any
    examples: Sequence[Example]
    max_length: int
    batch_size: int
    folder: Path

    def arguments(self, kind: Any = TrainingArguments, **more: Any) -> Any:
        """With a rate of 0: all that is computed is computed, yet the weights, and so the losses, stay the same."""
        return kind(
            output_dir=str(self.folder),
            num_train_epochs=1,
            per_device_train_batch_size=self.batch_size,
            learning_rate=0.0,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **more,
        )


Way = Callable[[Setting], Any]
"""Makes a trainer that is also a `Counted`."""


class Counted:
    """Mixed into a `Trainer`: counts what its steps learn and how long they take."""

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **more: Any) -> torch.Tensor:
        count = int((inputs["labels"][:, 1:] != IGNORED).sum())
        loss: torch.Tensor = super().training_step(model, inputs, *args, **more)  # type: ignore[misc]
        self.supervised = getattr(self, "supervised", 0) + count
        self.loss_sum = getattr(self, "loss_sum", 0.0) + float(loss) * count
        return loss


class Clock(TrainerCallback):
    """From the first batch that is asked for to the last step's end: what `train` sets up beforehand is left out."""

    seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.seconds = -time.process_time()

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.seconds += time.process_time()


def one_pass(way: Way, setting: Setting) -> Passed:
    trainer, clock = way(setting), Clock()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    return Passed(trainer.supervised, clock.seconds, trainer.loss_sum / max(1, trainer.supervised))


class _Ours(Counted, RowTrainer):
    pass


class _Plain(Counted, Trainer):
    pass


def ours(layout: Layout) -> Way:
    def make(setting: Setting) -> Any:
        collator = Collator(layout, PAD, "sdpa", is_windowed(setting.model.config))
        shortest = sorted(setting.examples, key=len)[:4]
        return _Ours(
            layout=layout,
            head=heads.usable(setting.model, collator([[example] for example in shortest])),
            model=setting.model,
            args=setting.arguments(remove_unused_columns=False),
            data_collator=collator,
            train_dataset=RowSet(setting.examples, layout, setting.max_length, seed=0),
        )

    return make


def fastchat(setting: Setting) -> Any:
    def padded(examples: list[Example]) -> dict[str, torch.Tensor]:
        batch = collate([[example] for example in examples], pad=PAD, width=setting.max_length)
        inputs = model_inputs(batch, "padded", attention="sdpa", windowed=False)
        inputs.pop("position_ids")  # it gives none
        return inputs

    return _Plain(
        model=setting.model,
        args=setting.arguments(remove_unused_columns=False),
        data_collator=padded,
        train_dataset=list(setting.examples),
    )


def trl(*, packing: bool) -> Way:
    """Packed best-fit into one flat row, or padded rows of like length."""

    def make(setting: Setting) -> Any:
        import datasets
        from trl import SFTConfig, SFTTrainer

        datasets.disable_progress_bars()
        more = {} if packing else {"train_sampling_strategy": "group_by_length"}
        rows = [
            {
                "input_ids": example.ids.tolist(),
                "labels": [
                    int(token) if trained else IGNORED
                    for token, trained in zip(example.ids, example.mask, strict=True)
                ],
            }
            for example in setting.examples
        ]
        kind = type("_Trl", (Counted, SFTTrainer), {})
        return kind(
            model=copy.deepcopy(setting.model),  # it changes the model's forward pass
            args=setting.arguments(
                SFTConfig,
                max_length=setting.max_length,
                packing=packing,
                gradient_checkpointing=False,  # on unless told so, and slower
                bf16=False,
                **more,
            ),
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=_tokenizer(),
        )

    return make


def has_trl() -> bool:
    try:
        import trl  # noqa: F401
    except ImportError:
        return False
    return True


def _tokenizer() -> Any:
    """TRL wants one although the examples are tokens already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({"<pad>": PAD, "</s>": 1}, unk_token="<pad>"))  # noqa: S106
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>")  # noqa: S106
