"""Looking into checkpoints, and putting them on a hub."""

import io
import json

import pytest
from django.core.management import call_command

from tests.workers.formats.gguf_files import write_gguf
from training.weights import publishing
from training.weights.errors import WeightsError
from training.weights.inspecting import inspect, licence_of

pytest.importorskip("torch", reason="the tiny checkpoints are made with torch")


class Hub:
    def __init__(self, error: Exception | None = None):
        self.calls: list[tuple[str, dict]] = []
        self.error = error

    def create_repo(self, repo_id, **values):
        if self.error:
            raise self.error
        self.calls.append((repo_id, values))

    def upload_folder(self, **values):
        self.calls.append(("upload", values))


def test_it_counts_without_reading_weights(checkpoint):
    found = inspect(checkpoint("mine", dtype="bfloat16"))
    assert (found.kind, found.architecture, found.tensors) == ("safetensors", "LlamaForCausalLM", 20)
    # Embeddings 40·64, two layers of (2·64·64 + 2·32·64 + 3·96·64 + 2·64), one norm.
    assert found.parameters == 40 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64 + 2 * 64) + 64
    assert found.bytes == 2 * found.parameters
    assert found.memory()["float32"] == 4 * found.parameters
    assert found.cache_bytes_per_token == 2 * 2 * 2 * 2 * 16  # K and V, 16 bits, layers, heads, their size
    assert found.context_length == 128
    assert found.has_template


def test_it_reads_gguf_headers(tmp_path):
    path = write_gguf(
        tmp_path / "m.gguf",
        {
            "general.architecture": "llama",
            "general.license": "mit",
            "llama.block_count": 3,
            "llama.attention.head_count": 4,
            "llama.attention.head_count_kv": 2,
            "llama.embedding_length": 32,
        },
        {"token_embd.weight": ((32, 10), 8), "output_norm.weight": ((32,), 0)},
    )
    found = inspect(path)
    assert (found.parameters, found.stored, found.bytes) == (352, {"Q8_0": 320, "F32": 32}, 340 + 128)
    assert (found.licence, found.cache_bytes_per_token) == ("mit", 4 * 3 * 2 * 8)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x09" + b"\0" * 7 + b'{"a": {}}']
)
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors is no safetensors file, or damaged"):
        inspect(tmp_path)


def test_the_licence_is_what_the_card_says_or_the_licence_file(tmp_path):
    assert licence_of(tmp_path) == ""
    (tmp_path / "LICENSE.txt").write_text("\n  Some Licence\nmore")
    assert licence_of(tmp_path) == "Some Licence"
    (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: 'apache-2.0'\n---\nHello")
    assert licence_of(tmp_path) == "apache-2.0"


def test_the_card_says_what_it_is_and_how_it_was_made(checkpoint):
    folder = checkpoint("mine")
    (folder / "manifest.json").write_text(json.dumps({"recipe": "sft", "seed": 7}))
    path = publishing.write_card(folder, name="Mine", licence="mit", base="org/base", description="A test.")
    text = path.read_text()
    assert text.startswith('---\nlicense: "mit"\nbase_model: "org/base"\n')
    assert "| parameters | " in text
    assert '"recipe": "sft"' in text
    path.write_text("corrected by hand")
    publishing.write_card(folder, name="Mine", licence="mit")
    assert path.read_text() == "corrected by hand"
    publishing.write_card(folder, name="Mine", licence="mit", again=True)
    assert path.read_text() != "corrected by hand"


def test_nothing_is_published_without_a_licence_or_a_card(checkpoint):
    folder = checkpoint("mine")
    with pytest.raises(WeightsError, match="--licence NAME"):
        publishing.write_card(folder, name="Mine")
    with pytest.raises(WeightsError, match="no model card"):
        publishing.publish(folder, repo="org/mine", private=True, hub=Hub())


def test_it_uploads_the_folder_without_what_belongs_to_nobody_else(checkpoint):
    folder, hub = checkpoint("mine"), Hub()
    publishing.write_card(folder, name="Mine", licence="mit")
    publishing.publish(folder, repo="org/mine", private=True, hub=hub)
    (repo, made), (_, uploaded) = hub.calls
    assert (repo, made["private"]) == ("org/mine", True)
    assert uploaded["folder_path"] == str(folder)
    assert "optimizer*" in uploaded["ignore_patterns"]


def test_a_hub_that_refuses_is_quoted(checkpoint):
    folder = checkpoint("mine")
    publishing.write_card(folder, name="Mine", licence="mit")
    with pytest.raises(WeightsError, match=r"did not take it .*not yours"):
        publishing.publish(folder, repo="org/mine", private=True, hub=Hub(PermissionError("not yours")))


def test_the_command_writes_a_card_alone(checkpoint):
    folder, output = checkpoint("mine"), io.StringIO()
    call_command(
        "weights", "publish", str(folder), "--repo=org/mine", "--licence=mit", "--card-only", stdout=output
    )
    assert "README.md is there to be read and corrected" in output.getvalue()
    assert (folder / "README.md").is_file()
