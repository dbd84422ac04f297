"""Preferences by TRL's own trainers, on our rows: `--trainer trl`. Needs `bin/up --install-only --extra trl`.

What is learnt is decided here, by the template that serves the model: TRL is given tokens, not text, and only
optimises. It computes the reference itself: with the adapter switched off, or once beforehand.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from transformers import TrainerCallback, TrainingArguments

from training.data.masking import Example
from training.recipes.refusals import Refusal

ANSWERS = {"rewards/margins": "margin", "rewards/accuracies": "accuracy"}
"""TRL's names for what our own trainer logs."""


class Pair(Protocol):
    """`preference.Pair` is one."""

    @property
    def chosen(self) -> Example: ...
    @property
    def rejected(self) -> Example: ...
    @property
    def mismatched(self) -> Example: ...


class Wanted(NamedTuple):
    """What is optimised."""

    loss: str
    beta: float
    desirable_weight: float
    undesirable_weight: float


def trainer(
    wanted: Wanted,
    training: TrainingArguments,
    *,
    model: Any,
    adapter: Any,
    tokenizer: Any,
    max_length: int,
    pairs: Sequence[Pair],
    evaluated: Sequence[Pair] | None,
    callbacks: list[Any],
) -> Any:
    """A DPO or KTO trainer. `model` is without the `adapter`, a LoRA configuration or None. Raises `Refusal`."""
    try:
        import datasets
        import trl
    except ImportError:
        raise Refusal(
            "trainer", "TRL is not installed: bin/up --install-only --extra trl, or leave --trainer out."
        ) from None
    kto = wanted.loss == "kto"
    kind: Any = trl.KTOTrainer if kto else trl.DPOTrainer
    settings = trl.KTOConfig if kto else trl.DPOConfig
    rows = kto_rows if kto else dpo_rows
    if kto and training.per_device_train_batch_size < 2:
        # A row's answer is compared with its neighbour's.
        raise Refusal("per_device_train_batch_size", "TRL's KTO needs batches of 2 at least.")

    on_our_rows = type("OnOurRows", (AsGiven, kind), {})

    more: dict[str, Any] = {"beta": wanted.beta, "max_length": max_length}
    if kto:
        more |= {
            "desirable_weight": wanted.desirable_weight,
            "undesirable_weight": wanted.undesirable_weight,
            "train_sampling_strategy": "sequential",
        }
    if adapter is None:
        more["precompute_ref_log_probs"] = True
    datasets.disable_progress_bars()
    return on_our_rows(
        model=model,
        args=settings(**{**_given(training), **more}),
        train_dataset=datasets.Dataset.from_list(list(rows(pairs))),
        eval_dataset=datasets.Dataset.from_list(list(rows(evaluated))) if evaluated else None,
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[Renaming(), *callbacks],
    )


class AsGiven:
    """In front of a TRL trainer: its rows are tokens already."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **more: Any) -> Any:
        return dataset


class Renaming(TrainerCallback):
    """In front of the other callbacks, which read the same dictionary."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        logs = logs if logs is not None else {}
        logs.update({ours: logs[theirs] for theirs, ours in ANSWERS.items() if theirs in logs})


def dpo_rows(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    for pair in pairs:
        prompt, chosen = parts(pair.chosen)
        _, rejected = parts(pair.rejected)
        yield {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}


def kto_rows(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    for pair in pairs:
        _, other = parts(pair.mismatched)
        for example, wanted in ((pair.chosen, True), (pair.rejected, False)):
            prompt, answer = parts(example)
            yield {
                "prompt_ids": prompt,
                "completion_ids": answer,
                "KL_completion_ids": other,
                "label": wanted,
            }


def parts(example: Example) -> tuple[list[int], list[int]]:
    """What is read, and what is learnt: the last run of tokens that carry loss, nothing behind it."""
    learnt = example.mask.nonzero()[0]
    start, end = int(learnt[0]), int(learnt[-1]) + 1
    return example.ids[:start].tolist(), example.ids[start:end].tolist()


def _given(training: TrainingArguments) -> dict[str, Any]:
    """All that was asked for, also where TRL's own defaults differ."""
    return {field.name: getattr(training, field.name) for field in dataclasses.fields(training) if field.init}
