"""Checkpoints in folders."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def checkpoint(tmp_path: Path):
    """Write one and return its folder."""

    def make(name: str, seed: int = 0, **values) -> Path:
        from tests.training.weights.tiny import CONFIG, safetensors, tensors

        folder = tmp_path / name
        folder.mkdir()
        safetensors.save_file(tensors(seed, **values), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(CONFIG))
        (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages[0].content }}"}')
        return folder

    return make
