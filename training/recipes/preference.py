"""Teaches a chat model what people prefer: DPO (arXiv 2305.18290) or KTO (arXiv 2402.01306) from pairs.

    python -m training.recipes.preference --model FOLDER --data pairs.jsonl --output_dir out --method lora --loss dpo

The reference model's log-probabilities are computed once before the first step, so no second model is held. Both losses
are written down here: they are a few lines, and need neither TRL nor datasets. With
`--trainer trl` TRL's trainer optimises the same rows.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as functional
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, set_seed

from training.data import packing
from training.data.certificate import Certificate, Refused, certify
from training.data.masking import Example, Masker
from training.data.packing import IGNORED
from training.data.records import BadRow, Conversation, Message, Preference
from training.files import FileProblem
from training.preparing import records
from training.recipes import checkpoints, common, rows, with_trl
from training.recipes.common import Told
from training.recipes.progress import Progress
from training.recipes.refusals import Refusal
from training.recipes.rows import Rows
from training.recipes.tensors import model_inputs
from training.tokenizing import Speech

TRAINERS = ("own", "trl")


@dataclass
class Wish:
    """What is optimised."""

    loss: str = field(default="dpo", metadata={"help": "dpo or kto.", "choices": ("dpo", "kto")})
    beta: float = field(default=0.1, metadata={"help": "How dear it is to leave the reference model."})
    desirable_weight: float = field(default=1.0, metadata={"help": "KTO: of preferred answers."})
    undesirable_weight: float = field(default=1.0, metadata={"help": "KTO: of the others."})
    trainer: str = field(
        default="own", metadata={"help": "own, or trl: TRL's trainer, if installed.", "choices": TRAINERS}
    )


class Pair(NamedTuple):
    chosen: Example
    rejected: Example
    mismatched: Example
    """KTO: this prompt with another pair's answer; how far the model has moved altogether is read off it."""
    reference: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The reference model's log-probability of each answer."""


ARGUMENTS: Final[dict[str, Any]] = {"more": Wish, "learning_rate": 5e-6}
"""What `common.parse` takes beside the command line."""


def main(arguments: Sequence[str] | None = None) -> int:
    return common.main(run, arguments, **ARGUMENTS)


def run(told: Told, progress: Progress) -> None:
    """Raises `Refusal`."""
    wish: Wish = told.more
    if wish.beta <= 0:
        raise Refusal("beta", "beta must be above 0.")
    if told.sharded_weights:
        raise Refusal(
            "deepspeed" if told.training.deepspeed else "fsdp",
            "The reference is asked before the first step, for which each device needs the whole weights. "
            "Take ZeRO-2 (training/recipes/configs/zero2.json), or --method lora or qlora.",
        )
    speech = common.speech_of(told)
    found = _preferences(told.data.data, told.data.limit)
    certificate = _certified(speech, found)
    train, pairs = read(speech, certificate, found, told.data)
    evaluated = (
        read(speech, certificate, _preferences(told.data.eval_data, 0), told.data)[1]
        if told.data.eval_data
        else None
    )
    settings = {**told.settings(), "data_sha256": train.digest, "certificate": certificate.key}
    before = common.begin(told, settings)
    progress.tell(
        "start", data=train.as_dict(), certificate=certificate.as_dict(), resumed=before is not None
    )

    set_seed(told.training.seed)
    model = checkpoints.load(told.model, max_length=told.data.max_length)
    model.config.use_cache = False
    model = checkpoints.with_adapter(
        model, told.model, told.adapter, checkpointing=bool(told.training.activation_checkpointing)
    )
    size = told.training.per_device_train_batch_size
    common.check_memory(told, model, 2 * size * max(train.lengths), progress)
    model.to(told.training.device)
    collator = PairCollator(speech.pad, told.model.attention)
    if before is None:
        pair = pairs[len(pairs) // 2]
        inputs = collator([pair])
        inputs.pop("reference")
        # All three answers count as learnt: for DPO the third stands for the reference's pass over two.
        lengths = [sum(map(len, each[:3])) for each in pairs]
        common.tell_duration(told, model, inputs, sum(map(len, pair[:3])), lengths, progress)
    if told.data.estimate_only:
        return
    set_seed(told.training.seed)
    make = _by_trl if wish.trainer == "trl" else _own
    trainer = make(told, model, speech, collator, pairs, evaluated, common.callbacks(told, speech, progress))
    trainer.remove_callback(PrinterCallback)
    last = common.last_checkpoint(told.folder) if before else None
    result = trainer.train(resume_from_checkpoint=last)
    common.save(told, trainer, speech)
    common.finish(
        told,
        trainer,
        progress,
        recipe=wish.loss,
        settings=settings,
        metrics=result.metrics,
        template=speech.template.source,
        certificate=certificate,
        data=train.as_dict(),
    )


def read(
    speech: Speech, certificate: Certificate, preferences: Sequence[Preference], data: Any
) -> tuple[Rows, list[Pair]]:
    """Raises `Refusal` when nothing is left to learn."""
    masker = Masker(speech.template, speech.tokenize, certificate.cut)
    counted = Rows(conversations=len(preferences), digest=rows.digest(data.data))
    sides: list[tuple[Example, Example]] = []
    kept: list[Preference] = []
    for pair in preferences:
        try:
            both = _answer(masker, pair, pair.chosen), _answer(masker, pair, pair.rejected)
        except BadRow as error:
            counted.dropped[error.reason] += 1
            continue
        if max(map(len, both)) > data.max_length:
            counted.dropped["too_long"] += 1  # half an answer is no answer to prefer
            continue
        sides.append(both)
        kept.append(pair)
        counted.examples += both
    if not sides:
        told = ", ".join(f"{count} {reason}" for reason, count in counted.dropped.items())
        raise Refusal("data", f"No pair is left to learn from ({told}). A larger --max_length may help.")
    return counted, [
        Pair(chosen, rejected, _mismatched(masker, kept, number, data.max_length, chosen))
        for number, (chosen, rejected) in enumerate(sides)
    ]


def log_probabilities(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B,) the sum over each row's tokens that carry loss."""
    labels = inputs["labels"][:, 1:]
    given = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**given, use_cache=False).logits[:, :-1].float()
    learnt = labels != IGNORED
    chosen = logits.gather(2, labels.where(learnt, 0)[..., None])[..., 0] - logits.logsumexp(2)
    return (chosen * learnt).sum(1)


def dpo_loss(ratios: torch.Tensor, beta: float) -> torch.Tensor:
    """`ratios`: (2, B) log-probability above the reference's, of chosen and rejected. Equation 7 of the paper."""
    return -functional.logsigmoid(beta * (ratios[0] - ratios[1])).mean()


def kto_loss(ratios: torch.Tensor, moved: torch.Tensor, wish: Wish) -> torch.Tensor:
    """`moved`: (B,) the same of mismatched answers; its mean, not below 0, is the reference point (equation 8)."""
    point = moved.mean().clamp(min=0).detach()
    good = 1 - torch.sigmoid(wish.beta * (ratios[0] - point))
    bad = 1 - torch.sigmoid(wish.beta * (point - ratios[1]))
    return torch.cat([wish.desirable_weight * good, wish.undesirable_weight * bad]).mean()


class PairSet(Dataset[Pair]):
    def __init__(self, pairs: Sequence[Pair]):
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Pair:
        return self._pairs[index]


@dataclass(frozen=True, slots=True)
class PairCollator:
    """Pairs → rows: first all that are chosen, then all rejected, then all mismatched."""

    pad: int
    attention: str

    def __call__(self, pairs: list[Pair]) -> dict[str, torch.Tensor]:
        examples = [example for side in zip(*(pair[:3] for pair in pairs), strict=True) for example in side]
        batch = packing.collate([[example] for example in examples], pad=self.pad)
        inputs = model_inputs(batch, "padded", attention=self.attention, windowed=False)
        reference = torch.tensor([pair.reference for pair in pairs], dtype=torch.float32)
        return {**inputs, "reference": reference.T.contiguous()}  # (3, B)


class PreferenceTrainer(Trainer):
    """`Trainer` with a loss over pairs."""

    def __init__(self, *, wish: Wish, **more: Any):
        super().__init__(**more)
        self._wish = wish
        self._margins: list[float] = []
        self.model_accepts_loss_kwargs = (
            False  # ours is a mean over pairs; Trainer divides by the accumulation
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - transformers may give it by place
        **more: Any,
    ) -> Any:
        reference = inputs["reference"]
        given = {name: value for name, value in inputs.items() if name != "reference"}
        size = reference.shape[1]
        both = {name: value[: 2 * size] for name, value in given.items()}
        ratios = log_probabilities(model, both).view(2, size) - reference[:2]
        if self._wish.loss == "dpo":
            loss = dpo_loss(ratios, self._wish.beta)
        else:
            with torch.no_grad():
                apart = {name: value[2 * size :] for name, value in given.items()}
                moved = log_probabilities(model, apart) - reference[2]
            loss = kto_loss(ratios, moved, self._wish)
        if model.training:
            self._margins += (self._wish.beta * (ratios[0] - ratios[1])).tolist()
        return (loss, {}) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **more: Any) -> None:
        if "loss" in logs and self._margins:
            logs["margin"] = sum(self._margins) / len(self._margins)
            logs["accuracy"] = sum(margin > 0 for margin in self._margins) / len(self._margins)
            self._margins = []
        super().log(logs, *args, **more)


@torch.no_grad()
def with_reference(model: Any, pairs: Sequence[Pair], collator: PairCollator, size: int) -> list[Pair]:
    """The pairs with the log-probabilities of the model as it is before the first step."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    found: list[Pair] = []
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        inputs = {
            name: value.to(device) for name, value in collator(list(part)).items() if name != "reference"
        }
        values = log_probabilities(model, inputs).view(3, len(part)).T.tolist()
        found += [pair._replace(reference=tuple(value)) for pair, value in zip(part, values, strict=True)]
    model.train(was_training)
    return found


def _own(
    told: Told,
    model: Any,
    speech: Speech,
    collator: PairCollator,
    pairs: Sequence[Pair],
    evaluated: Sequence[Pair] | None,
    callbacks: list[Any],
) -> Trainer:
    size = told.training.per_device_train_batch_size
    asked = [with_reference(model, some, collator, size) for some in (pairs, evaluated or [])]
    return PreferenceTrainer(
        wish=told.more,
        model=model,
        args=told.training,
        data_collator=collator,
        train_dataset=PairSet(asked[0]),
        eval_dataset=None if evaluated is None else PairSet(asked[1]),
        callbacks=callbacks,
    )


def _by_trl(
    told: Told,
    model: Any,
    speech: Speech,
    collator: PairCollator,
    pairs: Sequence[Pair],
    evaluated: Sequence[Pair] | None,
    callbacks: list[Any],
) -> Trainer:
    """TRL puts the adapter on by itself."""
    wish: Wish = told.more
    adapter = None if told.model.method == "full" else model.peft_config["default"]
    wanted = with_trl.Wanted(wish.loss, wish.beta, wish.desirable_weight, wish.undesirable_weight)
    made: Trainer = with_trl.trainer(
        wanted,
        told.training,
        model=model if adapter is None else model.unload(),
        adapter=adapter,
        tokenizer=speech.tokenizer,
        max_length=told.data.max_length,
        pairs=pairs,
        evaluated=evaluated,
        callbacks=callbacks,
    )
    return made


def _preferences(files: Sequence[str], limit: int) -> list[Preference]:
    try:
        found = [
            record for record in records([Path(name) for name in files]) if isinstance(record, Preference)
        ]
    except FileProblem as error:
        raise Refusal("data", str(error)) from None
    if not found:
        raise Refusal("data", "The files hold no preference pairs: prompt, chosen and rejected.")
    return found[:limit] if limit else found


def _certified(speech: Speech, preferences: Sequence[Preference]) -> Certificate:
    samples = [Conversation(pair.id, (*pair.prompt, *pair.chosen)) for pair in preferences[: rows.SAMPLES]]
    found = certify(
        speech.template, speech.tokenize, speech.decode, speech.ends, name=speech.key, samples=samples
    )
    if not found.valid:
        raise Refusal("template", str(Refused(found)))
    return found


def _answer(masker: Masker, pair: Preference, side: Sequence[Message]) -> Example:
    """The prompt with one side; only the side carries loss. Raises `BadRow`."""
    prompt = tuple(
        replace(message, extra={**message.extra, "weight": 0}) if message.role == "assistant" else message
        for message in pair.prompt
    )
    return masker.rows(Conversation(pair.id, (*prompt, *side), pair.extra))[-1]


def _mismatched(
    masker: Masker, pairs: Sequence[Preference], number: int, most: int, instead: Example
) -> Example:
    other = pairs[(number + 1) % len(pairs)]
    try:
        found = _answer(masker, pairs[number], other.chosen)
    except BadRow:
        return instead
    return found if len(found) <= most else instead


if __name__ == "__main__":
    sys.exit(main())
