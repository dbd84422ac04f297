"""Two processes: what `torchrun` starts, on a processor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from tests.ports import free_port
from training.recipes import sft

CONFIGS = Path(__file__).parents[3] / "training" / "recipes" / "configs"


# A second part beside the recipe, so that two processes need to start only once: FSDP 2. Through accelerate that would
# silently become DDP on a processor, so torch is asked itself.
PROGRAM = """
import sys
import torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM
from training.data.masking import Example
from training.data import packing
from training.recipes.tensors import model_inputs
import numpy as np

from training.recipes import sft

assert sft.main(sys.argv[1:]) == 0  # as DDP; it leaves its processes connected
assert dist.get_world_size() == 2 and dist.get_backend() == "gloo"
torch.manual_seed(0)
config = LlamaConfig(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
model = LlamaForCausalLM(config)
ids = np.random.default_rng(0).integers(1, 64, 12).astype(np.int32)
examples = [Example(ids, np.arange(12) > 4), Example(ids[::-1].copy(), np.arange(12) > 6)]
batch = packing.collate([examples], pad=0)
inputs = model_inputs(batch, "rows", attention="sdpa", windowed=False)
with torch.no_grad():
    whole = float(model(**inputs, use_cache=False).loss)
mesh = init_device_mesh("cpu", (2,))
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
local = sum(parameter.to_local().numel() for parameter in model.parameters())
assert local < 0.6 * sum(parameter.numel() for parameter in model.parameters()), local
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
losses = []
for _ in range(5):
    loss = model(**inputs, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(float(loss))
assert abs(losses[0] - whole) < 1e-5, (losses[0], whole)
assert losses[-1] < losses[0] - 0.1, losses
print("sharded", dist.get_rank())
dist.destroy_process_group()
"""


def test_two_processes_learn_what_one_learns_and_share_a_sharded_model(tmp_path, checkpoint, data):
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
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    result = subprocess.run(
        [sys.executable, *launch, str(program), *arguments(2)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(CONFIGS.parents[2]),
        },
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert losses(2) == pytest.approx(losses(1), abs=1e-3)
    assert result.stdout.count("sharded") == 2


# ZeRO 2, then 3, by DeepSpeed's own engine over gloo. Its shared-memory operation would be compiled at first use, which
# takes a minute and is left out here.
ZERO = """
import json, sys
import deepspeed.ops
deepspeed.ops.__compatible_ops__ = {**deepspeed.ops.__compatible_ops__, "deepspeed_shm_comm": False}
import torch.distributed as dist
from training.recipes import sft

seen = {}

class Looking(sft.RowTrainer):
    def training_step(self, model, inputs, *args, **more):
        loss = super().training_step(model, inputs, *args, **more)
        engine = self.model_wrapped
        seen["stage"] = engine.zero_optimization_stage()
        parts = [getattr(parameter, "ds_tensor", parameter) for parameter in engine.module.parameters()]
        seen["held"] = sum(part.numel() for part in parts)
        return loss

sft.RowTrainer = Looking
for stage in (3, 2):  # the harder one first: nobody has prepared anything for it
    scratch, *given = [argument.replace("STAGE", str(stage)) for argument in sys.argv[1:]]
    # Of several examples a row, one would learn other things than one process with as many steps: only that it begins.
    if stage == 3:
        packed = ["--layout", "rows", "--max_steps", "1", "--output_dir", scratch, "--progress", scratch + ".jsonl"]
        assert sft.main([*given, *packed]) == 0
    assert sft.main(given) == 0
    assert dist.get_world_size() == 2 and dist.get_backend() == "gloo"
    assert seen["stage"] == stage, seen
    print("held", json.dumps([stage, dist.get_rank(), seen["held"]]), flush=True)
dist.destroy_process_group()
"""


def test_zero_2_and_3_learn_in_two_processes_what_one_learns(tmp_path, checkpoint, data):
    pytest.importorskip("deepspeed")
    from safetensors.torch import load_file

    def arguments(name, size, *more):
        quick = "--use_cpu True --max_steps 3 --learning_rate 0.01 --max_length 64 --layout padded"
        quick += f" --logging_steps 1 --save_strategy no --per_device_train_batch_size {size}"
        given = ["--model", checkpoint, "--data", data, "--output_dir", tmp_path / name]
        return [*map(str, given), "--progress", str(tmp_path / f"{name}.jsonl"), *quick.split(), *more]

    def losses(name):
        events = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        return [event["loss"] for event in events if event["event"] == "log"]

    assert sft.main(arguments("one", 8)) == 0
    program = tmp_path / "zero.py"
    program.write_text(ZERO)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    config = ["--deepspeed", str(CONFIGS / "zeroSTAGE.json")]
    result = subprocess.run(
        [
            sys.executable,
            *launch,
            str(program),
            str(tmp_path / "packed"),
            *arguments("zeroSTAGE", 4, *config),
        ],
        env={
            **os.environ,
            "DS_ACCELERATOR": "cpu",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(CONFIGS.parents[2]),
        },
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    assert json.loads((tmp_path / "packed" / "manifest.json").read_text())["certificate"]["valid"]
    expected = load_file(tmp_path / "one" / "model.safetensors")
    whole = sum(value.numel() for value in expected.values())
    for stage in (2, 3):
        assert losses(f"zero{stage}") == pytest.approx(losses("one"), abs=1e-3)
        found = load_file(tmp_path / f"zero{stage}" / "model.safetensors")
        assert {name: value.shape for name, value in found.items()} == {
            name: value.shape for name, value in expected.items()
        }
        for name, value in found.items():
            assert value.float() == pytest.approx(expected[name].float(), abs=2e-3), name
    lines = [line.partition("held ")[2] for line in result.stdout.splitlines() if "held " in line]
    held = {(stage, rank): count for stage, rank, count in map(json.loads, lines)}
    assert held[2, 0] == held[2, 1] == whole  # its weights are whole, its optimizer is parted
    assert held[3, 0] < 0.6 * whole


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("zero*.json")))
def test_each_deepspeed_configuration_is_one_that_trainer_can_fill_in(name):
    pytest.importorskip("deepspeed")
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

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
