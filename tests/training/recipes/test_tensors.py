"""Packed and unpacked rows give the same loss, on models of the usual kinds with random weights."""

import numpy as np
import pytest

from training.data import packing
from training.data.certificate import PACKED_TOLERANCE, packed_check
from training.data.masking import Example

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from training.recipes import tensors  # noqa: E402 - it needs torch

SHAPE = {
    "vocab_size": 128,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 256,
}


def model(kind, attention, **more):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SHAPE, **more)
    found = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    for parameter in found.parameters():
        parameter.data.mul_(4)  # so that what a token sees matters
    return found.eval()


def examples():
    source = np.random.default_rng(1)
    return [
        Example(source.integers(1, 128, length).astype(np.int32), np.arange(length) >= length // 3)
        for length in (5, 17, 9, 23, 2)
    ]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Qwen3"])
@pytest.mark.parametrize("layout", ["rows", "flat"])
def test_packed_and_unpacked_losses_agree(kind, attention, layout):
    network = model(kind, attention)
    packed = tensors.losses(network, examples(), layout, pad=0)
    unpacked = tensors.losses(network, examples(), "padded", pad=0)
    assert packed == pytest.approx(unpacked, rel=PACKED_TOLERANCE)
    assert packed_check(packed, unpacked).passed


def test_a_model_with_a_sliding_window_agrees_too():
    kinds = ["sliding_attention", "full_attention"]
    network = model("Gemma3Text", "sdpa", sliding_window=4, layer_types=kinds)
    assert tensors.is_windowed(network.config)
    packed = tensors.losses(network, examples(), "rows", pad=0)
    assert packed == pytest.approx(tensors.losses(network, examples(), "padded", pad=0), rel=PACKED_TOLERANCE)


def test_rows_that_see_each_other_are_found_out():
    network = model("Llama", "sdpa")
    batch = packing.collate([examples()], pad=0)
    inputs = tensors.model_inputs(batch, "rows", attention="sdpa", windowed=False)
    seen = torch.tril(torch.ones(batch.ids.shape[1], batch.ids.shape[1], dtype=torch.bool))
    with torch.no_grad():
        leaking = float(network(**{**inputs, "attention_mask": seen[None, None]}, use_cache=False).loss)
    assert not packed_check(leaking, tensors.losses(network, examples(), "padded", pad=0)).passed


def test_losses_leave_the_model_as_it_was():
    network = model("Llama", "sdpa").train()
    tensors.losses(network, examples(), "rows", pad=0)
    assert network.training
