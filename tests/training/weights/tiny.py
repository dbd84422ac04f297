"""Tiny checkpoints, made of random numbers. Skips the module that imports it where there is no torch."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 40,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 1000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
}


def tensors(seed: int, *, vocabulary: int = 40, dtype: str = "float32") -> dict:
    """A Llama's, with tied embeddings."""
    generator = torch.Generator().manual_seed(seed)

    def some(*shape: int):
        return (torch.randn(*shape, generator=generator) / 10).to(getattr(torch, dtype))

    found = {"model.embed_tokens.weight": some(vocabulary, 64), "model.norm.weight": some(64)}
    for layer in range(2):
        at = f"model.layers.{layer}."
        found |= {
            f"{at}self_attn.q_proj.weight": some(64, 64),
            f"{at}self_attn.k_proj.weight": some(32, 64),
            f"{at}self_attn.v_proj.weight": some(32, 64),
            f"{at}self_attn.o_proj.weight": some(64, 64),
            f"{at}mlp.gate_proj.weight": some(96, 64),
            f"{at}mlp.up_proj.weight": some(96, 64),
            f"{at}mlp.down_proj.weight": some(64, 96),
            f"{at}input_layernorm.weight": some(64),
            f"{at}post_attention_layernorm.weight": some(64),
        }
    return found


def load(folder: Path) -> dict:
    """All tensors of a folder, by name."""
    found: dict = {}
    for file in folder.glob("*.safetensors"):
        found |= safetensors.load_file(file)
    return found
