"""Merging LoRA adapters."""

import json
import math
from pathlib import Path

import pytest

from tests.training.weights.tiny import CONFIG, load, safetensors, tensors, torch
from training.weights import adapters
from training.weights.errors import WeightsError

Q = "base_model.model.model.layers.0.self_attn.q_proj"
PLAIN = "model.layers.0.self_attn.q_proj.weight"
ADAPTER = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none"}


@pytest.fixture
def adapter(tmp_path: Path):
    def make(found: dict, **config) -> Path:
        folder = tmp_path / f"adapter{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        safetensors.save_file(found, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps({**ADAPTER, **config}))
        return folder

    return make


def factors(rows: int = 64, columns: int = 64) -> tuple:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(4, columns, generator=generator), torch.randn(rows, 4, generator=generator)


@pytest.mark.parametrize(
    ("config", "scale"), [({}, 2.0), ({"use_rslora": True}, 4.0), ({"lora_alpha": 1}, 0.25)]
)
def test_the_update_is_scaled_and_added(checkpoint, adapter, tmp_path, config, scale):
    a, b = factors()
    folder = adapter({f"{Q}.lora_A.weight": a, f"{Q}.lora_B.weight": b}, **config)
    assert adapters.merge(checkpoint("base"), folder, tmp_path / "merged") == 1
    before, after = tensors(0), load(tmp_path / "merged")
    assert torch.allclose(after[PLAIN], before[PLAIN] + scale * (b @ a), atol=1e-6)
    assert all(torch.equal(after[name], before[name]) for name in before if name != PLAIN)
    assert not (tmp_path / "merged" / "adapter_config.json").exists()


def test_ranks_and_scales_may_differ_from_module_to_module(checkpoint, adapter, tmp_path):
    a, b = factors()
    folder = adapter(
        {f"{Q}.lora_A.weight": a[:2].clone(), f"{Q}.lora_B.weight": b[:, :2].clone()},
        rank_pattern={"q_proj": 2},
        alpha_pattern={"layers.0.self_attn.q_proj": 6},
    )
    adapters.merge(checkpoint("base"), folder, tmp_path / "merged")
    assert torch.allclose(
        load(tmp_path / "merged")[PLAIN], tensors(0)[PLAIN] + 3 * (b[:, :2] @ a[:2]), atol=1e-6
    )


def test_embeddings_and_modules_that_were_trained_whole(checkpoint, adapter, tmp_path):
    embedding = "base_model.model.model.embed_tokens"
    a, b = factors(64, 40)
    norm = torch.full((64,), 3.0)
    folder = adapter(
        {
            f"{embedding}.lora_embedding_A": a,
            f"{embedding}.lora_embedding_B": b,
            "base_model.model.model.norm.weight": norm,
        }
    )
    assert adapters.merge(checkpoint("base"), folder, tmp_path / "merged", dtype="bfloat16") == 2
    merged, name = load(tmp_path / "merged"), "model.embed_tokens.weight"
    assert torch.equal(merged["model.norm.weight"], norm.bfloat16())
    assert torch.equal(merged[name], (tensors(0)[name] + 2 * (b @ a).T).bfloat16())


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"peft_type": "IA3"}, "no LoRA adapter .*IA3"),
        ({"use_dora": True}, "use_dora cannot be merged here"),
        ({"bias": "all"}, "trained biases"),
        ({"lora_alpha": None}, "says no lora_alpha"),
    ],
)
def test_what_it_cannot_merge_is_refused(checkpoint, adapter, tmp_path, config, sentence):
    a, b = factors()
    folder = adapter({f"{Q}.lora_A.weight": a, f"{Q}.lora_B.weight": b}, **config)
    with pytest.raises(WeightsError, match=sentence):
        adapters.merge(checkpoint("base"), folder, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_an_adapter_of_another_base_or_with_a_half_missing_is_refused(checkpoint, adapter, tmp_path):
    a, b = factors()
    other = "base_model.model.transformer.h.0.attn"
    base = checkpoint("base")
    with pytest.raises(WeightsError, match=r"has no transformer\.h\.0\.attn\.weight"):
        adapters.merge(
            base, adapter({f"{other}.lora_A.weight": a, f"{other}.lora_B.weight": b}), tmp_path / "m"
        )
    with pytest.raises(WeightsError, match="only one half"):
        adapters.merge(base, adapter({f"{Q}.lora_A.weight": a}), tmp_path / "m")


def test_it_merges_as_peft_does(tmp_path):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**CONFIG, "torch_dtype": None}))
    model.save_pretrained(tmp_path / "base")
    config = peft.LoraConfig(
        r=3,
        lora_alpha=7,
        use_rslora=True,
        target_modules=["q_proj", "down_proj"],
        rank_pattern={"down_proj": 2},
        init_lora_weights=False,
    )
    tuned = peft.get_peft_model(model, config)
    tuned.save_pretrained(tmp_path / "adapter")
    adapters.merge(tmp_path / "base", tmp_path / "adapter", tmp_path / "merged")
    ours = load(tmp_path / "merged")
    theirs = tuned.merge_and_unload().state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)
    assert not torch.allclose(ours[PLAIN], load(tmp_path / "base")[PLAIN])
    assert math.isfinite(float(ours[PLAIN].sum()))
