import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from training import memory  # noqa: E402
from training.recipes import estimate, probe  # noqa: E402 - they need torch
from training.weights import inspecting  # noqa: E402


def seven_billion():
    """Llama 7B without its weights."""
    config = transformers.LlamaConfig()
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config)


def test_it_counts_llama_7b():
    model = seven_billion()
    found = estimate.estimate(model, tokens=2048, checkpointing=True, mixed=True)
    parameters = 6_738_415_616
    assert found.weights == found.gradients == parameters * 4
    assert found.optimizer == parameters * 8
    # 32 layers keep their inputs in 16 bits, and one is computed again.
    assert found.activations == 2048 * (32 * 2 * 4096 + 34 * 4096)
    assert found.logits == 2048 * 32_000 * 8


def test_shards_share_gradients_and_optimizer():
    model = seven_billion()
    whole = estimate.estimate(model, tokens=8, checkpointing=True, mixed=True)
    shared = estimate.estimate(model, tokens=8, checkpointing=True, mixed=True, shards=8)
    assert shared.optimizer == whole.optimizer // 8
    assert shared.weights == whole.weights


def test_parted_weights_are_counted_whole_and_shared():
    """ZeRO-3 leaves each process a part of every parameter from the beginning, and notes how large the whole one is."""
    model = torch.nn.Linear(10, 10, bias=False)
    model.config = transformers.LlamaConfig(
        num_hidden_layers=1, num_attention_heads=1, hidden_size=10, vocab_size=10
    )
    whole = estimate.estimate(model, tokens=1, checkpointing=False, mixed=True)
    model.weight.ds_numel = 100
    model.weight.data = torch.empty(0)
    parted = estimate.estimate(model, tokens=1, checkpointing=False, mixed=True, shards=4, weight_shards=4)
    assert (parted.weights, parted.gradients, parted.optimizer) == (100, 100, 200)
    assert whole.weights == 400


def test_weights_that_are_on_the_device_are_not_counted_twice(monkeypatch):
    model = torch.nn.Linear(1000, 1000, bias=False).requires_grad_(False)
    model.config = transformers.LlamaConfig(
        num_hidden_layers=1, num_attention_heads=1, hidden_size=10, vocab_size=10
    )
    monkeypatch.setattr(estimate, "free_memory", lambda: 2_000_000)
    there = estimate.estimate(model, tokens=1, checkpointing=False, mixed=True)
    assert there.weights == there.loaded == 4_000_000
    assert there.fits
    # A device of its own, on which they are not yet.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    still_to_come = estimate.estimate(model, tokens=1, checkpointing=False, mixed=True)
    assert still_to_come.loaded == 0
    assert not still_to_come.fits


def test_frozen_weights_need_no_optimizer():
    model = seven_billion().requires_grad_(False)
    assert estimate.estimate(model, tokens=8, checkpointing=False, mixed=True).optimizer == 0


def test_measuring_pays_for_long_runs_only():
    assert not probe.pays(10_000, max_length=2048, batch_size=4)
    assert probe.pays(370e6, max_length=2048, batch_size=4)


def test_the_headers_of_a_checkpoint_tell_the_same_as_the_model_with_its_adapter(tmp_path):
    """What the web foresees without torch is what the recipe will find."""
    peft = pytest.importorskip("peft")
    config = transformers.LlamaConfig(
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        hidden_size=32,
        intermediate_size=48,
        vocab_size=60,
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(str(tmp_path))
    model = peft.get_peft_model(
        model, peft.LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    found = estimate.estimate(model, tokens=64, checkpointing=False, mixed=False)

    plan = inspecting.plan(tmp_path)

    trained = sum(16 * (rows + columns) for rows, columns in plan.matrices)
    assert trained * 4 == found.gradients
    assert trained * memory.ADAM == found.optimizer
    assert (plan.parameters + trained) * 4 == found.weights
    assert memory.activations(plan.shape, tokens=64, checkpointing=False, mixed=False) == found.activations
    assert memory.logits(plan.shape, tokens=64) == found.logits
