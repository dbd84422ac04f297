from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from training.recipes import duration  # noqa: E402 - it needs torch


def told(**more):
    usual = {
        "max_steps": -1,
        "num_train_epochs": 3.0,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "world_size": 1,
    }
    return SimpleNamespace(**{**usual, **more})


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        (24, {}),
        (25, {}),
        (3, {"num_train_epochs": 1.5}),
        (100, {"max_steps": 7}),
        (10, {"gradient_accumulation_steps": 1}),
    ],
)
def test_steps_are_counted_as_trainer_counts_them(rows, more, tmp_path):
    given = told(**more)
    values = {name: value for name, value in vars(given).items() if name != "world_size"}
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **values)
    trainer = transformers.Trainer(
        model=torch.nn.Linear(1, 1), args=arguments, train_dataset=list(range(rows))
    )
    *_, expected = trainer.set_initial_training_values(arguments, trainer.get_train_dataloader())
    assert duration.steps(rows, given) == expected


def test_time_follows_from_tokens_and_devices():
    one = duration.estimate([10, 20, 30, 40], told(), 5.0)
    assert one.tokens == 300
    assert one.seconds == pytest.approx(60)
    two = duration.estimate([10, 20, 30, 40], told(world_size=2), 5.0)
    assert two.tokens == 300
    assert two.seconds == pytest.approx(30)
    some = duration.estimate([10, 30], told(max_steps=2), 5.0)
    assert some.tokens == 2 * 8 * 20


def test_a_row_is_timed_and_leaves_nothing_behind():
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
        )
    )
    ids = torch.arange(1, 13)[None]
    inputs = {"input_ids": ids, "labels": ids}
    assert duration.speed(model, inputs, 12, checkpointing=False) > 0
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about 1 seconds"),
        (61, "about 61 seconds"),
        (300, "about 5 minutes"),
        (7200, "about 2 hours"),
        (9000, "about 2.5 hours"),
        (3 * 86400, "about 3 days"),
    ],
)
def test_it_is_told_in_words(seconds, words):
    assert duration.in_words(seconds) == words
