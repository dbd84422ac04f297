import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from training.recipes import estimate, probe  # noqa: E402 - they need torch


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


def test_frozen_weights_need_no_optimizer():
    model = seven_billion().requires_grad_(False)
    assert estimate.estimate(model, tokens=8, checkpointing=False, mixed=True).optimizer == 0


def test_measuring_pays_for_long_runs_only():
    assert not probe.pays(10_000, max_length=2048, batch_size=4)
    assert probe.pays(370e6, max_length=2048, batch_size=4)
