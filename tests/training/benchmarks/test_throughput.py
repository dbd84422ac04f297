"""The benchmark itself: that what it compares is comparable. Its figures are for a person to read."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from training.benchmarks import throughput, ways  # noqa: E402 - they need torch
from training.benchmarks.mixes import MIXES, examples  # noqa: E402
from training.benchmarks.throughput import Figures  # noqa: E402

ALPACA = MIXES[2]


@pytest.fixture
def setting(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    made = examples(ALPACA, 12, 256, vocabulary=64)
    return ways.Setting(LlamaForCausalLM(config), made, 256, 4, tmp_path)


def test_every_way_learns_from_the_same_tokens_with_the_same_loss(setting):
    found = {"FastChat": ways.fastchat, "padded": ways.ours("padded"), "rows": ways.ours("rows")}
    if ways.has_trl():
        found |= {"TRL packed": ways.trl(packing=True), "TRL by length": ways.trl(packing=False)}
    before = {name: value.clone() for name, value in setting.model.state_dict().items()}
    passes = throughput.compare(setting, found, rounds=1)
    supervised = sum(example.supervised for example in setting.examples)
    assert {name: rounds[0].supervised for name, rounds in passes.items()} == dict.fromkeys(found, supervised)
    assert throughput.agree({name: rounds[0].loss for name, rounds in passes.items()})
    assert all(rounds[0].seconds > 0 for rounds in passes.values())
    # Nothing is learnt between the ways: else the last one would have it easier.
    assert all(torch.equal(before[name], value) for name, value in setting.model.state_dict().items())


def test_fastchats_rows_are_padded_to_the_maximum(setting):
    trainer = ways.fastchat(setting)
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"].shape == (4, 256)
    assert batch["attention_mask"].sum() < 4 * 256 / 10
    assert "position_ids" not in batch


def test_a_target_is_missed_by_speed_by_trl_and_by_another_loss():
    losses = {"FastChat": 4.0, "rows": 4.0001, "TRL packed": 4.0}
    good = Figures({"FastChat": 10.0, "rows": 250.0, "TRL packed": 200.0}, losses, "rows")
    assert throughput.holds(ALPACA, good)
    slow = good._replace(speeds={**good.speeds, "rows": 190.0})
    assert not throughput.holds(ALPACA, slow)
    assert not throughput.holds(ALPACA, good._replace(speeds={**good.speeds, "TRL packed": 300.0}))
    assert not throughput.holds(ALPACA, good._replace(losses={**losses, "rows": 3.9}))


def test_the_rows_say_what_is_compared_with_what(setting):
    figures = Figures(
        {"FastChat": 10.0, "rows": 250.0, "TRL packed": 200.0}, {"FastChat": 4.0, "rows": 4.1}, "rows"
    )
    text = "\n".join(throughput.table(ALPACA, setting.examples, 256, figures))
    assert "25.00 × FastChat's recipe; wanted 20 ×" in text
    assert "1.25 × TRL at its best" in text
    assert "rows  ← what the recipe takes" in text
    assert "DIFFER" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--max-length", "3"], "--max-length"), (["--model", "/nowhere/at/all"], "--model: ")],
)
def test_what_makes_no_sense_is_refused(arguments, reason):
    with pytest.raises(CommandError, match=reason):
        call_command("benchmark", "train", *arguments, stdout=StringIO())
