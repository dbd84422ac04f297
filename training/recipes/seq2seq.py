"""Teaches an encoder-decoder (T5, FLAN-T5) to answer: the conversation so far goes in, the next answer comes out.

    python -m training.recipes.seq2seq --model google/flan-t5-xl --data train.jsonl --output_dir out

FastChat-T5's recipe: each answer is a pair of (history, answer) with `### Human: … ### Assistant:` around the turns, of
questions that are too long the end is kept, answers are cut at their end. Signs of code that T5's vocabulary lacks are
added, each as the mean of all embeddings.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import torch
from torch.utils.data import Dataset
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)

from training.data.packing import IGNORED
from training.data.records import Message
from training.recipes import checkpoints, common, estimate, rows
from training.recipes.common import Told
from training.recipes.progress import Progress
from training.recipes.refusals import Refusal

MISSING_SIGNS = ("<", "{", "\n", "}", "`", " ", "\\", "^", "\t")
"""What T5's vocabulary cannot write (FastChat adds the same)."""
SHORTEST = 5
"""Tokens of a question or an answer, below which there is nothing to learn."""


@dataclass
class Speech:
    """How a conversation is written down."""

    person: str = field(default="Human", metadata={"help": "What the person is called."})
    assistant: str = field(default="Assistant", metadata={"help": "What the model is called."})
    add_signs: bool = field(default=True, metadata={"help": "Add the signs of code that T5 cannot write."})


class Pair(NamedTuple):
    question: list[int]
    answer: list[int]


ARGUMENTS: Final[dict[str, Any]] = {"training": Seq2SeqTrainingArguments, "more": Speech}
"""What `common.parse` takes beside the command line."""


def main(arguments: Sequence[str] | None = None) -> int:
    return common.main(run, arguments, **ARGUMENTS)


def run(told: Told, progress: Progress) -> None:
    """Raises `Refusal`."""
    if told.model.method == "qlora":
        raise Refusal("method", "This recipe knows full and lora.")
    speech: Speech = told.more
    tokenizer, model = _load(told)
    added = add_signs(tokenizer, model) if speech.add_signs else 0
    length = told.data.max_length
    source = list(rows.conversations(told.data.data, told.data.limit))
    train = pairs(source, tokenizer, speech, length)
    if not train:
        raise Refusal("data", "The files hold no answer of more than a few tokens.")
    counts = {"conversations": len(source), "rows": len(train), "sha256": rows.digest(told.data.data)}
    counts |= {"supervised_tokens": sum(len(pair.answer) for pair in train)}
    settings = {**told.settings(), "data_sha256": counts["sha256"]}
    before = common.begin(told, settings)
    progress.tell("start", data=counts, added_signs=added, resumed=before is not None)

    set_seed(told.training.seed)
    if told.model.method == "lora":
        model = with_adapter(model, told)
    longest = max(len(pair.question) + len(pair.answer) for pair in train)
    common.check_memory(told, model, told.training.per_device_train_batch_size * longest, progress)
    collator = PairCollator(int(tokenizer.pad_token_id))
    if before is None:
        lengths = [len(pair.question) + len(pair.answer) for pair in train]
        some = train[len(train) // 2]
        inputs = collator([some])
        common.tell_duration(told, model, inputs, lengths[len(train) // 2], lengths, progress)
    if told.data.estimate_only:
        return
    set_seed(told.training.seed)
    evaluated = pairs(rows.conversations(told.data.eval_data), tokenizer, speech, length)
    trainer = Seq2SeqTrainer(
        model=model,
        args=told.training,
        data_collator=collator,
        train_dataset=PairSet(train),
        eval_dataset=PairSet(evaluated) if evaluated else None,
        callbacks=common.callbacks(told, None, progress),
    )
    trainer.remove_callback(PrinterCallback)
    last = common.last_checkpoint(told.folder) if before else None
    result = trainer.train(resume_from_checkpoint=last)
    trainer.save_model()
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(str(told.folder))
    progress.tell("memory", peak=estimate.peak_memory())
    template = f"### {speech.person}: … ### {speech.assistant}:"
    common.finish(
        told,
        trainer,
        progress,
        recipe="seq2seq",
        settings=settings,
        metrics=result.metrics,
        template=template,
        certificate=None,  # encoder and decoder are apart: there is no mask that could be wrong
        data=counts,
    )


def pairs(conversations: Any, tokenizer: Any, speech: Speech, most: int) -> list[Pair]:
    """One for each answer: all in front of it, and the answer with its end."""
    found: list[Pair] = []
    for conversation in conversations:
        for index, message in enumerate(conversation.messages):
            if not message.trained:
                continue
            question = tokenizer(written(conversation.messages[:index], speech))["input_ids"]
            answer = tokenizer(message.text)["input_ids"]
            if len(question) <= SHORTEST or len(answer) <= SHORTEST:
                continue
            found.append(Pair(question[-most:], _cut(answer, most, tokenizer.eos_token_id)))
    return found


def written(messages: Sequence[Message], speech: Speech) -> str:
    """The conversation so far, with the assistant's turn opened."""
    names = {"user": speech.person, "assistant": speech.assistant}
    turns = (
        f"### {names[message.role]}: {message.text}\n" if message.role in names else f"{message.text}\n"
        for message in messages
    )
    return "".join([*turns, f"### {speech.assistant}:"])


def add_signs(tokenizer: Any, model: Any) -> int:
    """How many were missing. A new sign begins as the mean of all, and so says nothing wrong."""
    known = tokenizer.get_vocab()
    added: int = tokenizer.add_tokens([sign for sign in MISSING_SIGNS if sign not in known])
    if not added:
        return 0
    size = len(tokenizer)
    if size > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            if layer is not None:
                weight = layer.weight
                weight[size - added : size] = weight[: size - added].mean(0, keepdim=True)
    return added


class PairSet(Dataset[Pair]):
    def __init__(self, found: Sequence[Pair]):
        self._pairs = found

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Pair:
        return self._pairs[index]


@dataclass(frozen=True, slots=True)
class PairCollator:
    """Pairs → a model's arguments, each side as wide as its longest."""

    pad: int

    def __call__(self, found: list[Pair]) -> dict[str, torch.Tensor]:
        questions = [torch.tensor(pair.question) for pair in found]
        answers = [torch.tensor(pair.answer) for pair in found]
        ids = torch.nn.utils.rnn.pad_sequence(questions, batch_first=True, padding_value=self.pad)
        seen = [torch.ones_like(question) for question in questions]
        return {
            "input_ids": ids,
            "attention_mask": torch.nn.utils.rnn.pad_sequence(seen, batch_first=True),
            "labels": torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=IGNORED),
        }


def with_adapter(model: Any, told: Told) -> Any:
    from peft import LoraConfig, get_peft_model

    adapter = told.adapter
    targets: Any = ["q", "v"] if adapter.lora_targets == ["all-linear"] else adapter.lora_targets
    settings = LoraConfig(
        r=adapter.lora_r,
        lora_alpha=adapter.lora_alpha,
        lora_dropout=adapter.lora_dropout,
        target_modules=targets,
        use_dora=adapter.dora,
        use_rslora=adapter.rslora,
        task_type="SEQ_2_SEQ_LM",
    )
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise Refusal("lora_targets", str(error)) from None


def _load(told: Told) -> tuple[Any, Any]:
    checkpoints.meet_the_others()
    try:
        tokenizer = AutoTokenizer.from_pretrained(told.model.model)
        model = AutoModelForSeq2SeqLM.from_pretrained(
            told.model.model, dtype=checkpoints.weights_type(told.model)
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Refusal(
            "model", f"{told.model.model} is no encoder-decoder that can be loaded: {reason}"
        ) from None
    return tokenizer, model


def _cut(answer: list[int], most: int, end: int | None) -> list[int]:
    return (
        answer if len(answer) <= most else [*answer[: most - 1], end if end is not None else answer[most - 1]]
    )


if __name__ == "__main__":
    sys.exit(main())
