"""Headers of GGUF files."""

import pytest

from tests.workers.engines.conftest import smollm2  # noqa: F401 - a fixture
from tests.workers.formats.gguf_files import write_gguf
from workers.gguf import NotGguf, Tensor, read_header


def test_it_reads_metadata_and_tensors(tmp_path):
    path = write_gguf(
        tmp_path / "m.gguf",
        {"general.name": "é", "x.count": 7, "x.scale": 0.5, "x.yes": True, "x.words": ["a", "b"]},
        {"token_embd.weight": ((64, 8), 12), "norm": ((64,), 0), "new": ((4,), 999)},
    )
    header = read_header(path)
    assert header.metadata == {
        "general.name": "é",
        "x.count": 7,
        "x.scale": 0.5,
        "x.yes": True,
        "x.words": ["a", "b"],
    }
    assert header.tensors[0] == Tensor("token_embd.weight", (64, 8), "Q4_K")
    assert [tensor.parameters for tensor in header.tensors] == [512, 64, 4]
    assert [tensor.bytes for tensor in header.tensors] == [288, 256, 0]
    assert header.chat_template == ""
    assert header.token("bos") == ""


@pytest.mark.parametrize("size", [0, 4, 10, 30, 60])
def test_a_file_that_is_cut_off_is_refused(tmp_path, size):
    path = write_gguf(tmp_path / "m.gguf", {"general.name": "x" * 50})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(NotGguf):
        read_header(path)


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + b"\xff" * 16)
    with pytest.raises(NotGguf, match="damaged"):
        read_header(path)


def test_a_real_file(smollm2):  # noqa: F811
    header = read_header(smollm2)
    assert header.metadata["general.architecture"] == "llama"
    assert header.chat_template.startswith("{% for message in messages %}")
    assert header.token("eos") == "<|im_end|>"
    assert sum(tensor.parameters for tensor in header.tensors) == 134_515_008
    # The file is its header (vocabulary), the tensors, and some padding.
    assert 0 < smollm2.stat().st_size - sum(tensor.bytes for tensor in header.tensors) < 4_000_000
