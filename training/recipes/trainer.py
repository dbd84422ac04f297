"""transformers' `Trainer` with our rows, and with eyes for what is learnt per second."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback

from training.data.packing import IGNORED, Layout
from training.recipes import heads
from training.recipes.estimate import peak_memory
from training.recipes.progress import Progress
from training.recipes.rows import GroupedSampler, RowSet
from training.tokenizing import Speech

NEW_TOKENS = 48
"""Of a sample that the model generates on the way."""


class RowTrainer(Trainer):
    """Counts supervised tokens, and draws rows of like length together where they are padded."""

    def __init__(self, *, layout: Layout, head: Any = None, **more: Any):
        """`head`: the model's last layer, to be asked only where something is learnt (see `heads`)."""
        super().__init__(**more)
        self._layout, self._head = layout, head
        self._supervised = self._processed = 0
        self._since = time.monotonic()

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        rows = train_dataset if train_dataset is not None else self.train_dataset
        if self._layout == "padded" and isinstance(rows, RowSet):
            # Of all processes together: how many there are must not change what is learnt.
            accumulated = self.args.train_batch_size * self.args.gradient_accumulation_steps
            size = accumulated * self.args.world_size
            return GroupedSampler(rows.lengths, size, seed=self.args.data_seed or self.args.seed)
        found: Sampler[int] | None = super()._get_train_sampler(train_dataset)
        return found

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **more: Any) -> torch.Tensor:
        labels = inputs["labels"]
        self._supervised += int((labels[:, 1:] != IGNORED).sum())
        self._processed += labels.numel()
        loss: torch.Tensor = super().training_step(model, inputs, *args, **more)
        return loss

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **more: Any) -> Any:
        if self._head is None:
            return super().compute_loss(model, inputs, *args, **more)
        narrowed, learnt = heads.narrow(inputs)
        with heads.only(self._head, learnt):
            return super().compute_loss(model, narrowed, *args, **more)

    def log(self, logs: dict[str, float], *args: Any, **more: Any) -> None:
        if "loss" in logs:
            seconds = max(1e-9, time.monotonic() - self._since)
            world = self.args.world_size
            logs["supervised_tokens_per_second"] = round(self._supervised * world / seconds, 2)
            logs["tokens_per_second"] = round(self._processed * world / seconds, 2)
            self._supervised = self._processed = 0
            self._since = time.monotonic()
        super().log(logs, *args, **more)


class Teller(TrainerCallback):
    """Passes on what happens."""

    def __init__(self, progress: Progress):
        self._progress, self._started = progress, time.monotonic()
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._started, self._first_step = time.monotonic(), state.global_step
        self._progress.tell("training", step=state.global_step, steps=state.max_steps)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **more: Any
    ) -> None:
        if logs and "loss" in logs:
            done = state.global_step - self._first_step
            left = (state.max_steps - state.global_step) * (time.monotonic() - self._started) / max(1, done)
            self._progress.tell(
                "log",
                step=state.global_step,
                steps=state.max_steps,
                seconds_left=round(left, 1),
                memory=peak_memory(),
                **logs,
            )

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, Any] | None = None, **more: Any
    ) -> None:
        self._progress.tell("evaluation", step=state.global_step, **(metrics or {}))

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._progress.tell("checkpoint", step=state.global_step, name=f"checkpoint-{state.global_step}")


class Samples(TrainerCallback):
    """Lets the model answer a few prompts at each evaluation and checkpoint and at the end, greedily."""

    def __init__(self, speech: Speech, prompts: Sequence[str], progress: Progress):
        self._speech, self._prompts, self._progress = speech, prompts, progress
        self._last_step = -1

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        self._tell(model, state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        self._tell(model, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        self._tell(model, state.global_step)

    def _tell(self, model: Any, step: int) -> None:
        """Once a step: what is evaluated, saved and over at the same step has said it."""
        if step == self._last_step:
            return
        self._last_step = step
        for prompt in self._prompts:
            self._progress.tell("sample", step=step, prompt=prompt, text=answer(model, self._speech, prompt))


@torch.no_grad()
def answer(model: Any, speech: Speech, prompt: str, *, tokens: int = NEW_TOKENS) -> str:
    """What the model says to one message, greedily."""
    text = speech.template.render([{"role": "user", "content": prompt}], add_generation_prompt=True)
    ids = torch.tensor([speech.tokenize(text).ids], device=model.device)
    was_training = model.training
    model.eval()
    try:
        written = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=sorted(speech.ends.ids) or None,
            pad_token_id=speech.pad,
        )
    finally:
        model.train(was_training)
    said: str = speech.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    return said.strip()
