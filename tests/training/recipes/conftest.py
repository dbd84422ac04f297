"""A tiny checkpoint with random weights, and data that it can learn."""

import json

import pytest

from tests.training import tokenizers
from tests.training.data.test_masking import CHATML
from tests.training.rows import sharegpt


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    folder = tokenizers.saved(tmp_path_factory.mktemp("tiny"), chat_template=CHATML)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    rows = [
        sharegpt(f"What is {number}?", "It is Paris, thank you.", id=f"r{number}") for number in range(24)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
