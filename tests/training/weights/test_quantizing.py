"""GGUF files, from another one and from a checkpoint."""

import pytest

from tests.training.weights.tiny import tensors
from tests.workers.formats.gguf_files import write_gguf
from training.weights.errors import WeightsError
from training.weights.inspecting import inspect
from training.weights.quantizing import _rope_order, quantize
from workers.gguf import read_header

gguf = pytest.importorskip("gguf", reason="gguf is not installed")
np = pytest.importorskip("numpy")


@pytest.fixture
def lender(tmp_path):
    """A GGUF file of the same family, with other sizes, that lends its tokenizer."""
    return write_gguf(
        tmp_path / "lender.gguf",
        {
            "general.architecture": "llama",
            "general.name": "Lender",
            "general.license": "mit",
            "llama.block_count": 99,
            "llama.vocab_size": 40,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": [f"t{number}" for number in range(40)],
            "tokenizer.chat_template": "the lender's",
        },
    )


def values(path, name: str):
    (found,) = (tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == name)
    return gguf.quants.dequantize(found.data, found.tensor_type).reshape([int(n) for n in found.shape][::-1])


def test_a_checkpoint_becomes_a_gguf_file(checkpoint, lender, tmp_path):
    quantize(checkpoint("mine"), tmp_path / "mine.gguf", kind="f32", like=lender)
    header = read_header(tmp_path / "mine.gguf")
    facts = header.metadata
    assert facts["general.name"] == "mine"
    assert "general.license" not in facts  # the lender's is not the checkpoint's
    assert (facts["llama.block_count"], facts["llama.attention.head_count_kv"]) == (2, 2)
    assert facts["llama.rope.freq_base"] == 1000.0
    assert facts["tokenizer.ggml.tokens"][39] == "t39"
    assert header.chat_template == "{{ messages[0].content }}"
    assert len(header.tensors) == 20
    given = tensors(0)
    for new, old in (
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"),
        ("blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj.weight"),
    ):
        assert np.array_equal(values(tmp_path / "mine.gguf", new), given[old].numpy())
    key = given["model.layers.0.self_attn.k_proj.weight"].numpy()
    assert np.array_equal(values(tmp_path / "mine.gguf", "blk.0.attn_k.weight"), _rope_order(key, 2))


def test_rows_of_a_head_are_paired_as_llama_cpp_rotates_them():
    # Two heads of four rows: transformers turns row 0 with row 2, llama.cpp row 0 with row 1.
    rows = np.arange(8).reshape(8, 1)
    assert _rope_order(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_fewer_bits_take_less_and_change_little(checkpoint, lender, tmp_path):
    quantize(checkpoint("mine"), tmp_path / "f32.gguf", kind="f32", like=lender)
    quantize(tmp_path / "f32.gguf", tmp_path / "q4.gguf", kind="q4_0")
    found = inspect(tmp_path / "q4.gguf")
    assert set(found.stored) == {"Q4_0", "Q8_0", "F32"}
    assert found.bytes < inspect(tmp_path / "f32.gguf").bytes / 5
    assert read_header(tmp_path / "q4.gguf").metadata["general.file_type"] == 2
    before = values(tmp_path / "f32.gguf", "blk.0.ffn_up.weight")
    after = values(tmp_path / "q4.gguf", "blk.0.ffn_up.weight")
    assert 0 < np.abs(before - after).mean() < 0.02
    assert (
        np.abs(
            values(tmp_path / "f32.gguf", "token_embd.weight")
            - values(tmp_path / "q4.gguf", "token_embd.weight")
        ).max()
        < 0.01
    )


def test_it_says_what_it_cannot_do(checkpoint, lender, tmp_path):
    mine = checkpoint("mine")
    with pytest.raises(WeightsError, match=r"--like FILE\.gguf is needed"):
        quantize(mine, tmp_path / "x.gguf", kind="q8_0")
    with pytest.raises(WeightsError, match="exists"):
        quantize(mine, lender, kind="q8_0", like=lender)
    (mine / "config.json").write_text('{"model_type": "gemma"}')
    with pytest.raises(WeightsError, match="of the family gemma"):
        quantize(mine, tmp_path / "x.gguf", kind="q8_0", like=lender)
    with pytest.raises(WeightsError, match="cannot be read as GGUF"):
        quantize(mine, tmp_path / "x.gguf", kind="q8_0", like=mine / "config.json")
    other = write_gguf(tmp_path / "other.gguf", {"general.architecture": "gemma"})
    with pytest.raises(WeightsError, match="gemma checkpoints cannot be converted here; these can: llama"):
        quantize(mine, tmp_path / "x.gguf", kind="q8_0", like=other)
    assert not (tmp_path / "x.gguf").exists()


def test_another_vocabulary_is_refused(checkpoint, tmp_path):
    lender = write_gguf(
        tmp_path / "lender.gguf", {"general.architecture": "llama", "tokenizer.ggml.tokens": ["a", "b"]}
    )
    with pytest.raises(WeightsError, match="has 40 tokens and the file it shall be like has 2"):
        quantize(checkpoint("mine"), tmp_path / "x.gguf", kind="q8_0", like=lender)
