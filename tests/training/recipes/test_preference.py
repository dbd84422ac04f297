"""DPO and KTO: the losses against the papers' equations, and a tiny model that learns what is preferred."""

import json
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from training.recipes import preference  # noqa: E402 - it needs torch

QUICK = "--use_cpu True --max_steps 8 --per_device_train_batch_size 4 --learning_rate 0.01 --max_length 64"
QUICK += " --logging_steps 1 --save_strategy no --report_to none"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"prompt": f"What is {number}?", "chosen": "It is Paris.", "rejected": "Rome. No."}
        for number in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(tmp_path, checkpoint, data, *arguments):
    progress = tmp_path / "progress.jsonl"
    given = ["--model", checkpoint, "--data", data, "--output_dir", tmp_path / "out", "--progress", progress]
    status = preference.main([str(part) for part in (*given, *QUICK.split(), *arguments)])
    return status, [json.loads(line) for line in progress.read_text().splitlines()]


def test_dpos_loss_is_the_papers():
    ratios = torch.tensor([[1.0, 0.5], [-1.0, 2.0]])
    expected = [-math.log(1 / (1 + math.exp(-0.1 * margin))) for margin in (2.0, -1.5)]
    assert float(preference.dpo_loss(ratios, 0.1)) == pytest.approx(sum(expected) / 2, rel=1e-6)


def test_ktos_loss_is_the_papers():
    wish = preference.Wish(loss="kto", beta=0.5, desirable_weight=2.0, undesirable_weight=1.0)
    ratios, moved = torch.tensor([[1.0], [-1.0]]), torch.tensor([0.4])

    def sigmoid(value):
        return 1 / (1 + math.exp(-value))

    good, bad = 2 * (1 - sigmoid(0.5 * (1.0 - 0.4))), 1 - sigmoid(0.5 * (0.4 + 1.0))
    assert float(preference.kto_loss(ratios, moved, wish)) == pytest.approx((good + bad) / 2, rel=1e-6)
    # Below zero the reference point stays at zero: the divergence that it estimates cannot be negative.
    low = preference.kto_loss(ratios, torch.tensor([-3.0]), wish)
    assert float(low) == pytest.approx(float(preference.kto_loss(ratios, torch.tensor([0.0]), wish)))


def test_log_probabilities_are_those_of_the_labels():
    class Model:
        def __call__(self, input_ids, **more):
            self.logits = torch.zeros(*input_ids.shape, 4)
            return self

    labels = torch.tensor([[-100, -100, 2, 3], [-100, 1, -100, -100]])
    found = preference.log_probabilities(Model(), {"input_ids": labels.clamp(min=0), "labels": labels})
    assert found.tolist() == pytest.approx([2 * math.log(1 / 4), math.log(1 / 4)])


@pytest.mark.parametrize(
    "arguments", [["--loss", "dpo"], ["--loss", "kto"], ["--method", "lora", "--lora_r", "4"]]
)
def test_a_model_comes_to_prefer_what_people_preferred(tmp_path, checkpoint, pairs, arguments):
    if "lora" in arguments:
        pytest.importorskip("peft")
    status, events = run(tmp_path, checkpoint, pairs, *arguments)
    assert status == 0
    logs = [event for event in events if event["event"] == "log"]
    assert logs[0]["margin"] == pytest.approx(0, abs=1e-3)  # it begins as its own reference
    assert logs[-1]["margin"] > 0.01
    assert logs[-1]["accuracy"] == 1
    assert logs[-1]["loss"] < logs[0]["loss"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["recipe"] == ("kto" if "kto" in arguments else "dpo")


def test_it_is_measured_on_pairs_that_it_does_not_learn(tmp_path, checkpoint, pairs):
    arguments = ("--eval_data", pairs, "--eval_strategy", "epoch", "--eval_on_start", "True")
    status, events = run(tmp_path, checkpoint, pairs, *arguments)

    assert status == 0
    measured = [(event["step"], event["eval_loss"]) for event in events if event["event"] == "evaluation"]
    assert measured[0] == (0, pytest.approx(math.log(2), abs=1e-4)), (
        "before the first step it is its reference"
    )
    assert measured[-1][0] == 8
    assert measured[-1][1] < measured[0][1]


@pytest.mark.parametrize("arguments", [["--loss", "kto"], ["--method", "lora", "--lora_r", "4"]])
def test_trl_learns_the_same_rows(tmp_path, checkpoint, pairs, arguments):
    pytest.importorskip("trl")
    status, events = run(tmp_path, checkpoint, pairs, *arguments, "--trainer", "trl")
    assert status == 0
    logs = [event for event in events if event["event"] == "log"]
    assert len(logs) == 8
    assert logs[0]["margin"] == pytest.approx(0, abs=1e-3)
    assert logs[-1]["margin"] > 0.01
    assert logs[-1]["loss"] < logs[0]["loss"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert ("adapter_model.safetensors" if "lora" in arguments else "model.safetensors") in names
    assert "manifest.json" in names
    assert "ref" not in names  # no second adapter is left lying about


def test_trls_dpo_is_ours(tmp_path, checkpoint, pairs):
    """On the same pairs in the same batch both begin with the same loss and go down alike."""
    pytest.importorskip("trl")
    whole = ["--per_device_train_batch_size", "8", "--learning_rate", "0.001"]
    _, own = run(tmp_path, checkpoint, pairs, *whole)
    _, theirs = run(tmp_path, checkpoint, pairs, *whole, "--trainer", "trl", "--fresh", "True")
    first, second = (
        [event["loss"] for event in events if event["event"] == "log"] for events in (own, theirs[len(own) :])
    )
    assert len(first) == len(second) == 8
    assert second == pytest.approx(first, abs=1e-4)


def test_only_the_two_answers_carry_loss(checkpoint, tmp_path):
    from training import tokenizing
    from training.data.masking import Masker
    from training.data.records import Message, Preference

    speech = tokenizing.load(str(checkpoint))
    talk = (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Who are you?"))
    pair = Preference("x", talk, (Message("assistant", "I am Paris."),), (Message("assistant", "No."),))
    example = preference._answer(Masker(speech.template, speech.tokenize), pair, pair.chosen)
    assert speech.decode(example.ids[example.mask].tolist()) == "I am Paris.<|im_end|>"


def test_pairs_that_are_too_long_are_left_out_and_counted(tmp_path, checkpoint, pairs):
    path = tmp_path / "long.jsonl"
    row = {"prompt": "Hi", "chosen": "word " * 100, "rejected": "No."}
    path.write_text(pairs.read_text() + json.dumps(row) + "\n")
    _, events = run(tmp_path, checkpoint, path)
    assert events[0]["data"]["dropped"] == {"too_long": 1}
    path.write_text(json.dumps(row) + "\n")
    status, events = run(tmp_path, checkpoint, path, "--fresh", "True")
    assert status == 2
    assert "max_length" in events[-1]["message"]


def test_conversations_are_no_pairs(tmp_path, checkpoint, data):
    status, events = run(tmp_path, checkpoint, data)
    assert status == 2
    assert "no preference pairs" in events[-1]["message"]
