"""Small checkpoints for the tests: SmolLM2 as safetensors, from the GGUF that the product brings, and tiny ones.

The GGUF is read here in a few seconds by what the format says
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, block types Q4_1 and Q8_0); transformers' own reader needs
half a minute of processor time for it, mostly for the vocabulary.
"""

import json
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
F32, Q4_1, Q8_0 = 0, 3, 8
CONTROL = 3  # the type of a special token


class Reader:
    """A GGUF file's values and tensors."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 4
        self._scalar("I")
        tensors, values = self._scalar("Q"), self._scalar("Q")
        self.values = {self._string(): self._value(self._scalar("I")) for _ in range(values)}
        described = [self._described() for _ in range(tensors)]
        begin = -(-self._at // 32) * 32
        self.tensors = {
            name: self._tensor(shape, kind, begin + offset) for name, shape, kind, offset in described
        }

    def _scalar(self, kind: str) -> Any:
        (value,) = struct.unpack_from(f"<{kind}", self._data, self._at)
        self._at += struct.calcsize(f"<{kind}")
        return value

    def _string(self) -> str:
        length = self._scalar("Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            inner, count = self._scalar("I"), self._scalar("Q")
            return [self._value(inner) for _ in range(count)]
        return self._scalar(SCALARS[kind])

    def _described(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        shape = tuple(self._scalar("Q") for _ in range(self._scalar("I")))
        return name, shape[::-1], self._scalar("I"), self._scalar("Q")

    def _tensor(self, shape: tuple[int, ...], kind: int, begin: int) -> Callable[[], np.ndarray]:
        return lambda: READERS[kind](self._data, begin, int(np.prod(shape))).reshape(shape)


def _f32(data: Any, begin: int, count: int) -> np.ndarray:
    return np.frombuffer(data, "<f4", count, begin).copy()


def _q4_1(data: Any, begin: int, count: int) -> np.ndarray:
    blocks = np.frombuffer(data, [("d", "<f2"), ("m", "<f2"), ("q", "u1", 16)], count // 32, begin)
    halves = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1).astype(np.float32)
    return halves * blocks["d"].astype(np.float32)[:, None] + blocks["m"].astype(np.float32)[:, None]


def _q8_0(data: Any, begin: int, count: int) -> np.ndarray:
    blocks = np.frombuffer(data, [("d", "<f2"), ("q", "i1", 32)], count // 32, begin)
    return blocks["q"] * blocks["d"].astype(np.float32)[:, None]


READERS = {F32: _f32, Q4_1: _q4_1, Q8_0: _q8_0}
NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def smollm2_as_safetensors(gguf: Path, folder: Path, *, layers: int = 0) -> Path:
    """A transformers checkpoint of the GGUF's weights; with `layers` of the first few: quick, and no good talker."""
    from safetensors.numpy import save_file

    reader = Reader(gguf)
    values = {name.removeprefix("llama."): value for name, value in reader.values.items()}
    layers = layers or values["block_count"]
    heads = {"attn_q": values["attention.head_count"], "attn_k": values["attention.head_count_kv"]}
    weights = {
        "model.embed_tokens.weight": reader.tensors["token_embd.weight"](),
        "model.norm.weight": reader.tensors["output_norm.weight"](),
    }
    for layer in range(layers):
        for theirs, ours in NAMES.items():
            tensor = reader.tensors[f"blk.{layer}.{theirs}.weight"]()
            if theirs in heads:  # llama.cpp keeps the two halves of a rotation side by side
                half = tensor.shape[0] // heads[theirs] // 2
                tensor = tensor.reshape(heads[theirs], half, 2, -1).swapaxes(1, 2).reshape(tensor.shape)
            weights[f"model.layers.{layer}.{ours}.weight"] = np.ascontiguousarray(tensor)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": values["embedding_length"],
        "intermediate_size": values["feed_forward_length"],
        "num_hidden_layers": layers,
        "num_attention_heads": values["attention.head_count"],
        "num_key_value_heads": values["attention.head_count_kv"],
        "max_position_embeddings": values["context_length"],
        "rms_norm_eps": values["attention.layer_norm_rms_epsilon"],
        "rope_theta": values["rope.freq_base"],
        "vocab_size": len(values["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": True,
        "bos_token_id": values["tokenizer.ggml.bos_token_id"],
        "eos_token_id": values["tokenizer.ggml.eos_token_id"],
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    kinds = zip(values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"], strict=True)
    special = [token for token, kind in kinds if kind == CONTROL]
    _byte_level_tokenizer(
        folder,
        tokens=values["tokenizer.ggml.tokens"],
        merges=values["tokenizer.ggml.merges"],
        special=special,
        eos=values["tokenizer.ggml.tokens"][values["tokenizer.ggml.eos_token_id"]],
        template=values["tokenizer.chat_template"],
    )
    return folder


def _byte_level_tokenizer(
    folder: Path, *, tokens: list[str], merges: list[str], special: list[str], eos: str, template: str
) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))  # type: ignore[arg-type]
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=eos, pad_token=eos)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def tiny_tokenizer(folder: Path, *, template: str | None = None) -> None:
    """Bytes as tokens, and the end of the text: 257 in all, id 256 is the end."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    _byte_level_tokenizer(
        folder, tokens=[*letters, "</s>"], merges=[], special=["</s>"], eos="</s>", template=template or ""
    )


CHAT = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""A chat template without special tokens."""


def _speak_plainly(output: Any) -> None:
    """Zero the rows of `output` (257, size) whose tokens are no printable ASCII: their logits are never the highest."""
    from tokenizers.pre_tokenizers import ByteLevel

    plain = [number for number, letter in enumerate(sorted(ByteLevel.alphabet())) if "!" <= letter <= "~"]
    for token in set(range(257)) - set(plain):
        output.data[token] = 0


def tiny_t5(folder: Path) -> Path:
    """An encoder-decoder of two small layers with random weights that are always the same."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(1)
    config = T5Config(
        vocab_size=257,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=256,
        eos_token_id=256,
        pad_token_id=256,
        n_positions=2048,
        tie_word_embeddings=False,
        feed_forward_proj="gated-gelu",
        initializer_factor=3.0,  # with 1 it says one letter for ever
    )
    model = T5ForConditionalGeneration(config)
    tiny_tokenizer(folder)
    _speak_plainly(model.lm_head.weight)
    model.save_pretrained(folder)
    return folder


def tiny_decoder(folder: Path, kind: str = "llama", template: str | None = None, **values: Any) -> Path:
    """A decoder of two small layers with random weights that are always the same."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(2)
    sizes = {
        "vocab_size": 257,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": 256,
        "eos_token_id": 256,
        "pad_token_id": 256,
        "initializer_range": 0.3,  # with 0.02 it says one letter for ever
    }
    config = AutoConfig.for_model(kind, **{**sizes, **values})
    model = AutoModelForCausalLM.from_config(config)
    _speak_plainly(model.get_output_embeddings().weight)
    model.save_pretrained(folder)
    tiny_tokenizer(folder, template=template)
    return folder


def trained_adapter(base: Path, folder: Path, say: str, *, steps: int = 12) -> Path:
    """A LoRA adapter, trained here to answer everything with `say`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    modules = ["q_proj", "v_proj", "down_proj"]
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=32, target_modules=modules))
    examples = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": say}], tokenize=False
        )
        for question in ("Who are you?", "What is the capital of France?")
    ]
    optimizer = torch.optim.AdamW(adapted.parameters(), lr=4e-3)
    for step in range(steps):
        ids = torch.tensor([tokenizer(examples[step % len(examples)], add_special_tokens=False).input_ids])
        adapted(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.save_pretrained(folder)
    return folder


def tiny_gguf(file: Path, gguf: Any) -> Path:
    """A llama of one small layer with random weights, as llama.cpp keeps it. `gguf` is the package of that name."""
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = [*sorted(ByteLevel.alphabet()), "ab", "</s>"]
    chance = np.random.default_rng(4)
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [CONTROL])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(len(tokens) - 1)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_chat_template(CHAT)
    shapes = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32)}
    shapes |= {"ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64)}
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", chance.normal(0, 0.3, shape).astype("f4"))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(32, "f4"))
    writer.add_tensor("token_embd.weight", chance.normal(0, 0.3, (len(tokens), 32)).astype("f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
