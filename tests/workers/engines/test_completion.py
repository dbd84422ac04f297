"""Weights without a chat template: they get a plain one, with stop strings."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workers.engines.conftest import Asked
from tests.workers.engines.test_llama_cpp import rendered
from tests.workers.support import make_request
from workers.engines import completion
from workers.engines.base import EngineError
from workers.engines.llama_cpp import LlamaCppEngine
from workers.locating import locate
from workers.protocol import ChatMessage
from workers.services import demo
from workers.services.starting import CannotHost


def test_it_knows_by_the_header_whether_there_is_a_template(tmp_path: Path):
    chat, base = tmp_path / "chat.gguf", tmp_path / "base.gguf"
    chat.write_bytes(b"GGUF\x03 general.name tokenizer.chat_template {{ messages }}")
    base.write_bytes(b"GGUF\x03 general.name tokenizer.ggml.tokens")
    assert not completion.needs_template(chat)
    assert completion.needs_template(base)


def test_it_joins_parts_only_into_the_file_that_was_expected(tmp_path: Path):
    parts = [tmp_path / name for name in ("a", "b")]
    for part in parts:
        part.write_bytes(part.name.encode())
    target = tmp_path / "models" / "whole.gguf"
    with pytest.raises(CannotHost, match="expected file"):
        demo.join(parts, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []
    demo.join(parts, target, sha256=hashlib.sha256(b"ab").hexdigest())
    assert target.read_bytes() == b"ab"
    assert list(target.parent.iterdir()) == [target]


def test_it_says_which_package_is_missing(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(demo, "PARTS", ("package:no_such_package/part00",))
    with pytest.raises(CannotHost, match="no_such_package is not installed"):
        demo.add_demo_chat_model(tmp_path)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    try:
        parts = [locate(part) for part in demo.PARTS]
    except EngineError as error:
        pytest.skip(f"the demo's weights are not here: {error}")
    file = tmp_path_factory.mktemp("gemma") / demo.FILE
    demo.join(parts, file, sha256=demo.SHA256)
    engine = LlamaCppEngine("gemma", file, slots=1, context_length=1024, threads=1)
    yield Asked(engine)
    engine.close()
    file.unlink()


def test_the_template_writes_questions_and_answers_that_want_to_be_continued(gemma: Asked):
    request = replace(
        make_request("And three?"),
        messages=(
            ChatMessage("system", "Be brief."),
            ChatMessage("user", "Two and two?"),
            ChatMessage("assistant", "Four."),
            ChatMessage("user", "And three?"),
        ),
    )
    assert isinstance(gemma.engine, LlamaCppEngine)
    assert rendered(gemma.engine, request) == (
        "Be brief.\n\nQuestion: Two and two?\nAnswer: Four.\n\nQuestion: And three?\nAnswer:"
    )


def test_a_base_model_answers_and_stops_before_a_question_of_its_own(gemma: Asked):
    answer = gemma.ask("What is the capital of France?", temperature=0, max_tokens=60)
    assert answer.text.startswith("Paris")
    assert "Question:" not in answer.text
    assert answer.reason == "stop"


@pytest.mark.django_db
def test_the_demo_chat_model_is_added_once(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(demo, "_parts", list)
    monkeypatch.setattr(demo, "SHA256", hashlib.sha256().hexdigest())
    added = demo.add_demo_chat_model(tmp_path)
    assert added is not None
    assert added.hosted_here
    assert added.licence == "Gemma Terms of Use"
    assert demo.add_demo_chat_model(tmp_path) is None
