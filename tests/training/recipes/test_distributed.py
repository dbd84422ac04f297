"""Two processes: what `torchrun` starts, on a processor."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from training.recipes import sft

CONFIGS = Path(__file__).parents[3] / "training" / "recipes" / "configs"


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_two_processes_learn_what_one_learns(tmp_path, checkpoint, data):
    def arguments(count):
        quick = "--use_cpu True --max_steps 3 --learning_rate 0.01 --max_length 64 --layout padded"
        quick += f" --logging_steps 1 --save_strategy no --per_device_train_batch_size {8 // count}"
        given = ["--model", checkpoint, "--data", data, "--output_dir", tmp_path / str(count)]
        return [*map(str, given), "--progress", str(tmp_path / f"{count}.jsonl"), *quick.split()]

    def losses(count):
        events = [json.loads(line) for line in (tmp_path / f"{count}.jsonl").read_text().splitlines()]
        assert sum(event["event"] == "done" for event in events) == 1  # only the first process speaks
        assert (tmp_path / str(count) / "model.safetensors").exists()
        return [event["loss"] for event in events if event["event"] == "log"]

    assert sft.main(arguments(1)) == 0
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    result = subprocess.run(
        [sys.executable, *launch, "-m", "training.recipes.sft", *arguments(2)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert losses(2) == pytest.approx(losses(1), abs=1e-3)


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("zero*.json")))
def test_each_deepspeed_configuration_is_one_that_trainer_can_fill_in(name):
    pytest.importorskip("deepspeed")
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig  # type: ignore[import-untyped]

    settings = json.loads((CONFIGS / name).read_text())
    zero = {key: value for key, value in settings["zero_optimization"].items() if value != "auto"}
    assert DeepSpeedZeroConfig(**zero).stage == int(name[4])
    assert settings["gradient_accumulation_steps"] == "auto"


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("fsdp*.json")))
def test_each_fsdp_configuration_is_understood(name):
    from transformers import TrainingArguments

    told = TrainingArguments(output_dir="x", use_cpu=True, fsdp=True, fsdp_config=str(CONFIGS / name))
    assert told.fsdp_config["version"] == 2
    assert told.fsdp_config.get("cpu_offload", False) == ("offload" in name)
