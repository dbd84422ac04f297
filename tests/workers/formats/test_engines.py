"""An engine takes the operator's format, else the checkpoint's own, else the one that its name asks for."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.workers.engines.conftest import Asked, smollm2  # noqa: F401 - a fixture
from tests.workers.engines.test_llama_cpp import rendered
from tests.workers.support import make_request
from workers.engines.base import EngineError
from workers.engines.llama_cpp import LlamaCppEngine
from workers.engines.prompting import format_of
from workers.protocol import ChatMessage

TALK = (
    ChatMessage("system", "Be brief."),
    ChatMessage("user", "Two and two?\n\nn"),
    ChatMessage("assistant", "Four."),
    ChatMessage("user", "你好"),
)


def test_the_operators_word_counts_most():
    found = format_of(wanted="alpaca", brings_its_own=True, name="vicuna", checkpoint="/m.gguf")
    assert found is not None
    assert found.name == "alpaca"


def test_the_checkpoints_own_comes_before_its_name():
    assert format_of(wanted="", brings_its_own=True, name="vicuna", checkpoint="/m.gguf") is None


def test_the_name_helps_where_there_is_none(caplog):
    found = format_of(wanted="", brings_its_own=False, name="mine", checkpoint="/models/vicuna-7b.gguf")
    assert found is not None
    assert found.name == "vicuna_v1.1"
    assert "mine brings no chat template; it gets the format vicuna_v1.1" in caplog.text
    assert "--template chooses another" in caplog.text


def test_a_base_model_completes():
    found = format_of(
        wanted="", brings_its_own=False, name="gemma-3-270m", checkpoint="/m/gemma-3-270m-q4_k_m.gguf"
    )
    assert found is not None
    assert found.name == "completion"


@pytest.mark.parametrize("text", ['style = "no_such"\nroles = ["a", "b"]', "{% for %}"])
def test_a_broken_format_stops_the_start_with_the_reason(tmp_path: Path, text):
    file = tmp_path / ("bad.jinja" if "for" in text else "bad.toml")
    file.write_text(text)
    with pytest.raises(EngineError, match=r"^template: "):
        format_of(wanted=str(file), brings_its_own=True, name="m", checkpoint="")


@pytest.mark.parametrize("template", ["chatglm", "llama-2", "yuan2"])
def test_llama_cpp_writes_the_same_prompt(smollm2: Path, template: str):  # noqa: F811
    """llama.cpp has a Jinja of its own: these three use the most of the language."""
    engine = LlamaCppEngine("m", smollm2, slots=1, context_length=512, template=template, threads=1)
    try:
        assert engine.format is not None
        assert rendered(engine, replace(make_request("x"), messages=TALK)) == engine.format.template.render(
            TALK
        )
        answer = Asked(engine).ask("Hi", max_tokens=4, temperature=0.0)
        assert answer.text == answer.text.lstrip()
    finally:
        engine.close()


def test_llama_cpp_refuses_an_unknown_format_before_it_loads(smollm2: Path):  # noqa: F811
    with pytest.raises(EngineError, match=r"did you mean vicuna_v1\.1"):
        LlamaCppEngine("m", smollm2, template="vicuna_v1", threads=1)
