"""Deltas, precision and shards, tensor by tensor."""

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command

from tests.training.weights.tiny import load, tensors, torch
from training.weights import deltas, precision
from training.weights.errors import WeightsError
from training.weights.shards import Reader, Writer


def weights(*arguments: object) -> str:
    output = io.StringIO()
    call_command("weights", *map(str, arguments), stdout=output)
    return output.getvalue()


class TestShards:
    def test_a_large_checkpoint_is_written_in_shards_that_transformers_finds(self, checkpoint, tmp_path):
        reader = Reader(checkpoint("base"))
        with Writer(tmp_path / "new", shard_bytes=40_000) as writer:
            for name in reader.names:
                writer.add(name, reader.get(name))
        index = json.loads((tmp_path / "new" / "model.safetensors.index.json").read_text())
        files = sorted(path.name for path in (tmp_path / "new").glob("*.safetensors"))
        assert len(files) > 2
        assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
        assert set(index["weight_map"].values()) == set(files)
        assert index["weight_map"].keys() == set(reader.names)
        for name in reader.names:
            assert torch.equal(Reader(tmp_path / "new").get(name), reader.get(name))

    def test_what_failed_leaves_nothing_behind(self, tmp_path):
        with pytest.raises(AttributeError), Writer(tmp_path / "new") as writer:
            writer.add("a", "no tensor")
        assert not (tmp_path / "new").exists()

    def test_it_writes_over_nothing(self, checkpoint):
        with pytest.raises(WeightsError, match="exists and is not empty"):
            Writer(checkpoint("base"))

    def test_torchs_own_files_are_read_safely(self, tmp_path):
        torch.save({"a": torch.ones(3), "note": "x"}, tmp_path / "pytorch_model.bin")
        reader = Reader(tmp_path)
        assert reader.names == ["a"]
        assert reader.shape("a") == (3,)

        class Evil:
            def __reduce__(self):
                return print, ("run",)

        torch.save({"a": Evil()}, tmp_path / "pytorch_model.bin")
        with pytest.raises(WeightsError, match="cannot be read safely"):
            Reader(tmp_path)

    def test_it_says_what_is_missing(self, tmp_path):
        with pytest.raises(WeightsError, match="is no folder"):
            Reader(tmp_path / "nowhere")
        with pytest.raises(WeightsError, match="holds no weights"):
            Reader(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"x" * 20)
        with pytest.raises(WeightsError, match="cannot be read as safetensors"):
            Reader(tmp_path)


class TestDeltas:
    def test_base_and_delta_give_the_original(self, checkpoint, tmp_path):
        base, target = checkpoint("base", 1, dtype="float16"), checkpoint("target", 2, dtype="float16")
        found = deltas.make_delta(base, target, tmp_path / "delta", exact=True)
        assert found.exact
        assert deltas.apply_delta(base, tmp_path / "delta", tmp_path / "back") is True
        assert all(torch.equal(a, b) for a, b in both(load(tmp_path / "back"), load(target)))
        assert (tmp_path / "back" / "config.json").is_file()
        assert not (tmp_path / "back" / "delta.json").exists()

    def test_in_half_precision_it_is_the_original_up_to_rounding(self, checkpoint, tmp_path):
        base, target = checkpoint("base", 1, dtype="float16"), checkpoint("target", 2, dtype="float16")
        found = deltas.make_delta(base, target, tmp_path / "delta")
        assert 0 < found.largest < 1e-3
        assert deltas.apply_delta(base, tmp_path / "delta", tmp_path / "back") is False
        differences = [
            float((a.float() - b.float()).abs().max()) for a, b in both(load(tmp_path / "back"), load(target))
        ]
        assert max(differences) == pytest.approx(found.largest)

    def test_new_tokens_are_kept(self, checkpoint, tmp_path):
        base, target = checkpoint("base", 1), checkpoint("target", 2, vocabulary=43)
        deltas.make_delta(base, target, tmp_path / "delta", exact=True)
        deltas.apply_delta(base, tmp_path / "delta", tmp_path / "back")
        embeddings = load(tmp_path / "back")["model.embed_tokens.weight"]
        assert embeddings.shape == (43, 64)
        assert torch.equal(embeddings[40:], load(target)["model.embed_tokens.weight"][40:])

    def test_another_base_is_noticed(self, checkpoint, tmp_path):
        base, target = checkpoint("base", 1, dtype="float16"), checkpoint("target", 2, dtype="float16")
        deltas.make_delta(base, target, tmp_path / "delta", exact=True)
        with pytest.raises(WeightsError, match="is not the base that"):
            deltas.apply_delta(checkpoint("other", 3, dtype="float16"), tmp_path / "delta", tmp_path / "back")
        assert not (tmp_path / "back").exists()

    def test_a_delta_of_another_tool_is_taken(self, checkpoint, tmp_path):
        """FastChat's are plain checkpoints, in the target's precision."""
        base, delta = checkpoint("base", 1, dtype="float16"), checkpoint("delta", 2, dtype="float16")
        assert deltas.apply_delta(base, delta, tmp_path / "back") is None
        name = "model.norm.weight"
        wanted = (load(base)[name].float() + load(delta)[name].float()).half()
        assert torch.equal(load(tmp_path / "back")[name], wanted)

    def test_two_models_that_have_nothing_in_common_are_refused(self, checkpoint, tmp_path):
        base, target = checkpoint("base"), checkpoint("target", vocabulary=39)
        with pytest.raises(WeightsError, match=r"embed_tokens.*are not of the same model"):
            deltas.make_delta(base, target, tmp_path / "delta")
        torch.save({"else": torch.ones(1)}, tmp_path / "pytorch_model.bin")
        with pytest.raises(WeightsError, match="lacks 20 tensors"):
            deltas.make_delta(tmp_path, target, tmp_path / "delta")


class TestPrecision:
    def test_weights_and_configuration_change_together(self, checkpoint, tmp_path):
        precision.convert(checkpoint("base"), tmp_path / "half", dtype="bfloat16")
        found = load(tmp_path / "half")
        assert {tensor.dtype for tensor in found.values()} == {torch.bfloat16}
        assert json.loads((tmp_path / "half" / "config.json").read_text())["torch_dtype"] == "bfloat16"
        assert torch.equal(found["model.norm.weight"], tensors(0)["model.norm.weight"].bfloat16())

    def test_torchs_own_files_become_safetensors_and_integers_stay(self, tmp_path):
        (tmp_path / "old").mkdir()
        torch.save({"a": torch.ones(3), "ids": torch.arange(3)}, tmp_path / "old" / "pytorch_model.bin")
        precision.convert(tmp_path / "old", tmp_path / "new", dtype="float16")
        found = load(tmp_path / "new")
        assert (found["a"].dtype, found["ids"].dtype) == (torch.float16, torch.int64)


class TestCommand:
    def test_it_makes_and_applies_a_delta(self, checkpoint, tmp_path):
        base, target = checkpoint("base", 1, dtype="float16"), checkpoint("target", 2, dtype="float16")
        said = weights("make-delta", base, target, tmp_path / "delta", "--exact")
        assert "20/20 tensors" in said
        assert "give the original back bit for bit" in said
        assert "bit for bit the original" in weights(
            "apply-delta", base, tmp_path / "delta", tmp_path / "back"
        )

    def test_it_converts(self, checkpoint, tmp_path):
        assert "in float16" in weights("convert", checkpoint("base"), tmp_path / "half", "--dtype=float16")

    def test_it_inspects(self, checkpoint):
        said = weights("inspect", checkpoint("base"))
        assert re.search(r"^parameters +64,320 in 20 tensors$", said, re.MULTILINE)
        assert "100.0% F32" in said
        assert "its own" in said

    def test_it_says_what_is_wrong(self, tmp_path):
        with pytest.raises(CommandError, match="is no folder"):
            weights("convert", tmp_path / "nothing", tmp_path / "x", "--dtype=float16")
        with pytest.raises(CommandError, match="neither a GGUF file nor"):
            weights("inspect", tmp_path / "nothing")


def both(one: dict, other: dict) -> list[tuple]:
    assert one.keys() == other.keys()
    return [(one[name], other[name]) for name in one]
