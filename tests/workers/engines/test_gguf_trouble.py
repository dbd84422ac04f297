"""Why a GGUF file could not be loaded, in one sentence."""

from types import SimpleNamespace

import pytest

from tests.workers.formats.gguf_files import write_gguf
from workers.engines.gguf_trouble import reason, weights_bytes


@pytest.fixture
def file(tmp_path):
    def make(tensors=None, name="m.gguf", **metadata):
        facts = {"general.architecture": "llama", **metadata}
        return write_gguf(tmp_path / name, facts, tensors)

    return make


def test_a_damaged_header(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF\x03\x00")
    assert reason(path, own_template=True) == "its header is damaged or cut off; fetch it again."


def test_a_file_that_is_cut_off(file):
    path = file({"token_embd.weight": ((1024, 1024), 0)})
    assert reason(path, own_template=True).startswith(
        "it is cut off after 0 MiB of at least 4 MiB; fetch it again"
    )


def test_a_broken_template_only_when_it_is_used(file):
    path = file(**{"tokenizer.chat_template": "{% for %}"})
    assert "is broken" in reason(path, own_template=True)
    assert reason(path, own_template=True).endswith("choose a prompt format with --template.")
    assert "template" not in reason(path, own_template=False)


def test_too_little_memory(file, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=3))
    assert "it is too large for the memory, of which 0 MiB are needed" in reason(file(), own_template=True)


def test_else_the_architecture_is_named(file):
    assert "may not know its architecture (llama)" in reason(file(), own_template=True)


def test_all_parts_of_a_file_count(file):
    first, second = file(name="m-00001-of-00002.gguf"), file(name="m-00002-of-00002.gguf")
    file(name="other.gguf")
    assert weights_bytes(first) == first.stat().st_size + second.stat().st_size
    assert weights_bytes(file()) == file().stat().st_size
