"""The recipe on a tiny model, in this process."""

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from training.recipes import common, estimate, manifest, sft, trainer

QUICK = "--use_cpu True --max_steps 6 --per_device_train_batch_size 4 --learning_rate 0.01 --max_length 64"
QUICK += " --logging_steps 1 --save_strategy no --report_to none"


@pytest.fixture
def train(checkpoint, data, tmp_path):
    """Runs the recipe; the exit status and the events it told."""

    def run(*arguments, folder="out", model=checkpoint, files=data, quick=QUICK):
        progress = tmp_path / "progress.jsonl"
        progress.unlink(missing_ok=True)
        given = ["--model", model, "--data", files, "--output_dir", tmp_path / folder, "--progress", progress]
        status = sft.main([str(part) for part in (*given, *quick.split(), *arguments)])
        lines = progress.read_text().splitlines() if progress.exists() else []
        return status, [json.loads(line) for line in lines]

    return run


def told(events, kind):
    return [event for event in events if event["event"] == kind]


def losses(events):
    return [event["loss"] for event in told(events, "log")]


def test_it_learns_and_leaves_a_whole_folder(train, tmp_path):
    status, events = train("--sample_prompt", "What is 1?")
    assert status == 0
    assert losses(events)[-1] < losses(events)[0] - 0.5
    assert [event["event"] for event in events][:2] == ["start", "estimate"]
    assert events[-1]["event"] == "done"
    assert told(events, "sample")[0]["prompt"] == "What is 1?"
    assert told(events, "log")[-1]["supervised_tokens_per_second"] > 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "run.json",
        "manifest.json",
    } <= names
    written = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert written["kind"] == "checkpoint"
    assert written["data"]["rows"] == 24
    assert written["certificate"]["valid"]
    assert written["config_hash"] == manifest.config_hash(written["settings"])


def test_packed_rows_learn(train):
    _, events = train("--layout", "rows")
    assert losses(events)[-1] < losses(events)[0] - 0.5


@pytest.mark.parametrize(
    "more", [["--dora", "True"], ["--rslora", "True", "--lora_targets", "q_proj", "v_proj"]]
)
def test_lora_trains_an_adapter(train, tmp_path, more):
    pytest.importorskip("peft")
    status, events = train("--method", "lora", "--learning_rate", "0.05", *more)
    assert status == 0
    assert losses(events)[-1] < losses(events)[0]
    settings = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert settings["use_dora"] == ("--dora" in more)
    assert settings["use_rslora"] == ("--rslora" in more)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_merged_adapter_says_what_the_adapter_says(train, tmp_path, checkpoint):
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM

    train("--method", "lora", "--learning_rate", "0.05", "--merge", "True")
    base = AutoModelForCausalLM.from_pretrained(checkpoint)
    adapted = peft.PeftModel.from_pretrained(base, tmp_path / "out").eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "merged").eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(adapted(ids).logits, merged(ids).logits, atol=1e-4)


def test_four_bits_learn_on_a_processor_too(train, tmp_path, data):
    """Also behind an evaluation, after which bitsandbytes would give weights of this shape no gradients any more."""
    pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    looks = ["--eval_data", data, "--eval_strategy", "steps", "--eval_steps", "1"]
    status, events = train("--method", "qlora", "--learning_rate", "0.05", *looks)
    assert status == 0
    assert losses(events)[-1] < losses(events)[1] < losses(events)[0]
    assert len(told(events, "evaluation")) == 6
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()


def test_it_measures_on_the_way_and_keeps_the_best(train, tmp_path, data):
    steps = "--eval_strategy steps --eval_steps 2 --save_strategy steps --save_steps 2 --save_total_limit 2"
    status, events = train("--eval_data", data, *steps.split(), "--early_stopping", "2")
    assert status == 0
    evaluations = [event["eval_loss"] for event in told(events, "evaluation")]
    assert len(evaluations) >= 3
    written = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert "checkpoint-" in written["best_checkpoint"]


class Killed(Exception):  # noqa: N818 - as in life
    pass


# In a process of its own, which ends as by `kill -9` in the middle of a run.
KILLED = """
import os, signal, sys
from training.recipes import sft, trainer

def die(self, args, state, control, **more):
    if state.global_step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

trainer.Teller.on_step_end = die
sft.main(sys.argv[1:])
"""


def test_a_killed_run_goes_on_exactly_where_it_was(train, tmp_path, checkpoint, data):
    import safetensors.torch
    import torch

    saving = QUICK.replace("--save_strategy no", "--save_strategy steps --save_steps 3")
    _, unbroken = train(folder="whole", quick=saving)

    given = ["--model", checkpoint, "--data", data, "--output_dir", tmp_path / "out", *saving.split()]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, given)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert (tmp_path / "out" / "checkpoint-3").is_dir()
    assert not (tmp_path / "out" / "manifest.json").exists()

    status, resumed = train(quick=saving)
    assert status == 0
    assert told(resumed, "start")[0]["resumed"]
    assert told(resumed, "training")[0]["step"] == 3
    assert losses(resumed) == pytest.approx(losses(unbroken)[3:], abs=1e-4)
    weights = [
        safetensors.torch.load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "out")
    ]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


def test_a_checkpoint_that_was_cut_off_while_it_was_saved_is_passed_over(train, tmp_path, monkeypatch):
    saving = QUICK.replace("--save_strategy no", "--save_strategy steps --save_steps 2")

    def die(self, args, state, control, **more):
        if state.global_step == 5:
            raise Killed

    monkeypatch.setattr(trainer.Teller, "on_step_end", die, raising=False)
    with pytest.raises(Killed):
        train(quick=saving)
    monkeypatch.undo()
    (tmp_path / "out" / "checkpoint-4" / "trainer_state.json").unlink()  # what is written last
    (tmp_path / "out" / "checkpoint-4" / "optimizer.pt").write_bytes(b"half of it")

    status, resumed = train(quick=saving)
    assert status == 0
    assert told(resumed, "training")[0]["step"] == 2


def test_it_does_not_go_on_under_other_settings(train, tmp_path):
    train()
    (tmp_path / "out" / "manifest.json").unlink()
    status, events = train("--learning_rate", "0.02")
    assert status == 2
    assert "other settings (learning_rate)" in told(events, "refused")[0]["message"]
    assert train("--learning_rate", "0.02", "--fresh", "True")[0] == 0


def test_a_finished_run_is_not_written_over(train):
    train()
    status, events = train()
    assert status == 2
    assert "finished run" in told(events, "refused")[0]["message"]


def test_without_a_certificate_it_refuses(train, tmp_path):
    endless = tmp_path / "endless.jinja"
    endless.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    status, events = train("--template", endless)
    assert status == 2
    assert told(events, "refused")[0]["field"] == "template"
    assert "never learn to stop" in told(events, "refused")[0]["message"]
    assert not (tmp_path / "out").exists()


def test_it_tells_memory_and_time_before_the_first_step(train):
    _, events = train("--num_train_epochs", "2", quick=QUICK.replace("--max_steps 6", ""))
    kinds = [event["event"] for event in events]
    assert kinds.index("estimate") < kinds.index("duration") < kinds.index("training")
    duration = told(events, "duration")[0]
    assert duration["steps"] == told(events, "training")[0]["steps"] == 12
    # All rows twice; two hundredths for rounding.
    tokens = 2 * told(events, "start")[0]["data"]["tokens"]
    assert duration["tokens"] == pytest.approx(tokens, rel=0.02)
    assert duration["seconds"] > 0
    assert duration["words"].startswith("about ")


def test_an_estimate_alone_trains_and_leaves_nothing(train, tmp_path):
    status, events = train("--estimate_only", "True")
    assert status == 0
    assert events[-1]["event"] == "duration"
    assert not told(events, "training")
    assert not (tmp_path / "out").exists()


def test_an_estimate_changes_nothing_of_what_is_learnt(train, monkeypatch):
    _, with_it = train("--method", "lora", "--lora_dropout", "0.5", folder="with")
    monkeypatch.setattr(common, "tell_duration", lambda *args: None)
    _, without = train("--method", "lora", "--lora_dropout", "0.5", folder="without")
    assert losses(with_it) == losses(without)


def test_without_memory_it_refuses_with_what_helps(train, monkeypatch):
    monkeypatch.setattr(estimate, "free_memory", lambda: 1000)
    status, events = train()
    assert status == 2
    assert "--method lora or qlora" in told(events, "refused")[0]["message"]
    assert train("--force", "True", "--fresh", "True")[0] == 0


def test_its_losses_are_in_tensorboards_files(train, tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    status, events = train("--report_to", "tensorboard")
    assert status == 0
    found = scalars(tmp_path / "board")
    assert [round(value, 4) for value in found["train/loss"]] == [round(loss, 4) for loss in losses(events)]
    assert len(found["train/supervised_tokens_per_second"]) == 6


def scalars(folder):
    """Tag → values of the event files: records of a length (8 bytes), its checksum (4), the event, its checksum (4)."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[float]] = {}
    for path in sorted(folder.rglob("*tfevents*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(value.simple_value)
    return found


@pytest.mark.parametrize(("name", "reason"), [("flyte", "flyte is not installed"), ("my_board", "not known")])
def test_a_logbook_that_is_not_there_is_refused_at_once(train, tmp_path, name, reason):
    status, events = train("--report_to", name)
    assert status == 2
    assert told(events, "refused")[0]["field"] == "report_to"
    assert reason in told(events, "refused")[0]["message"]
    assert not (tmp_path / "out").exists()


def test_rows_without_loss_are_left_out_and_counted(train, tmp_path, data):
    long = tmp_path / "long.jsonl"
    question = json.dumps(
        {"messages": [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "No."}]}
    )
    long.write_text(data.read_text() + question + "\n")
    _, events = train(files=long)
    assert told(events, "start")[0]["data"]["dropped"] == {"no_loss": 1}
    status, events = train(files=tmp_path / "nothing.jsonl", folder="other")
    assert status == 2
    assert "There is no file" in told(events, "refused")[0]["message"]


def test_a_model_that_is_not_there_is_refused(train):
    status, events = train(model="/nowhere/at/all")
    assert status == 2
    assert told(events, "refused")[0]["field"] == "model"
