"""Where API keys come from."""

from pathlib import Path

import pytest

from workers.engines.base import EngineError
from workers.engines.upstream.keys import FILE_VARIABLE, find_key


def _file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "secrets.env"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


def test_the_environment_comes_first(tmp_path):
    file = _file(tmp_path, "MY_KEY=from-file\n")

    assert find_key("MY_KEY", {"MY_KEY": "from-environment", FILE_VARIABLE: file}) == "from-environment"
    assert find_key("MY_KEY", {FILE_VARIABLE: file}) == "from-file"


def test_a_file_reads_like_a_shells(tmp_path):
    file = _file(tmp_path, "# keys\n\nOTHER=1\nexport MY_KEY = 'a=b'\n")

    assert find_key("MY_KEY", {FILE_VARIABLE: file}) == "a=b"


def test_no_variable_is_no_key():
    assert find_key("", {}) == ""


def test_a_missing_key_is_named_with_the_remedy(tmp_path):
    for environment in ({}, {FILE_VARIABLE: _file(tmp_path, "OTHER=1\n")}, {"MY_KEY": "  "}):
        with pytest.raises(EngineError, match="MY_KEY is not set"):
            find_key("MY_KEY", environment)


def test_a_file_that_others_can_read_is_refused(tmp_path):
    with pytest.raises(EngineError, match="chmod 600"):
        find_key("MY_KEY", {FILE_VARIABLE: _file(tmp_path, "MY_KEY=secret\n", 0o644)})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EngineError, match="cannot be read"):
        find_key("MY_KEY", {FILE_VARIABLE: str(tmp_path / "nothing")})
