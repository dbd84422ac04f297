"""`from workers import load_model`: chat models for scripts."""

import subprocess
import sys
import threading

import pytest

import workers
from tests.workers.engines.conftest import smollm2  # noqa: F401 - a fixture
from workers import load_model
from workers.engine_settings import engine_of
from workers.engines.base import EngineError
from workers.library import GenerationError
from workers.protocol import ChatMessage, ErrorCode


@pytest.fixture
def parrot():
    with load_model("slots=1", engine="scripted") as model:
        yield model


def test_it_answers_a_message(parrot):
    assert parrot.chat("Hello 你好") == "Hello 你好"
    assert list(parrot.stream("one two", system="Be brief.")) == ["one", " two"]


def test_it_takes_conversations_of_both_kinds(parrot):
    assert parrot.chat([{"role": "user", "content": "A"}, ChatMessage("assistant", "B")]) == "B"


def test_it_remembers_a_talk(parrot):
    talk = parrot.talk(system="S", max_tokens=1)
    assert talk.say("one two") == "one"
    assert talk.say("three", max_tokens=5) == "three"
    assert [message.content for message in talk.messages] == ["S", "one two", "one", "three", "three"]


def test_what_failed_is_not_remembered():
    with load_model("fail_after=0", engine="scripted") as model:
        talk = model.talk()
        with pytest.raises(GenerationError, match="on purpose") as failure:
            talk.say("Hi")
        assert failure.value.code is ErrorCode.ENGINE_FAILURE
        assert talk.messages == []


def test_a_slot_is_free_again_after_a_stream_that_was_left(parrot):
    stream = parrot.stream("one two three")
    assert next(stream) == "one"
    stream.close()
    assert parrot.chat("again") == "again"


def test_more_threads_than_slots_wait_for_each_other(parrot):
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(parrot.chat(f"m{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert sorted(answers) == [f"m{n}" for n in range(8)]


def test_a_parameter_that_does_not_exist_is_named(parrot):
    with pytest.raises(TypeError, match="temprature"):
        parrot.chat("Hi", temprature=1)


def test_a_refusal_has_its_code():
    with load_model("context=2", engine="scripted") as model, pytest.raises(GenerationError) as refusal:
        model.chat("one two three")
    assert refusal.value.code is ErrorCode.CONTEXT_OVERFLOW


def test_options_of_another_engine_are_refused():
    with pytest.raises(EngineError, match=r"scripted has no option .*device"):
        load_model("", engine="scripted", device="cpu")
    with pytest.raises(EngineError, match="devise"):
        load_model("/m/folder", devise="cpu")
    with pytest.raises(EngineError, match="is not an engine"):
        load_model("", engine="steam")


@pytest.mark.parametrize(
    ("checkpoint", "engine"),
    [
        ("/m/X.GGUF", "llama_cpp"),
        ("package:llm/x.gguf", "llama_cpp"),
        ("org/name", "transformers"),
        ("/m/folder", "transformers"),
        ("http://gpu1:8000/v1#name", "upstream"),
        ("openai:gpt-5-mini", "upstream"),
        ("", "llama_cpp"),
    ],
)
def test_the_engine_is_told_by_the_name(checkpoint, engine):
    assert engine_of(checkpoint) == engine


def test_real_weights_answer(smollm2):  # noqa: F811
    with load_model(smollm2, context_length=512) as model:
        assert model.hosted.name == "SmolLM2-135M-Instruct.Q4_1"
        answer = model.chat("What is the capital of France?", temperature=0.0, max_tokens=16)
        assert answer == "".join(
            model.stream("What is the capital of France?", temperature=0.0, max_tokens=16)
        )
        assert answer.strip()


def test_nothing_is_loaded_before_it_is_asked_for():
    program = (
        "import sys, workers; before = 'workers.engines' in sys.modules; workers.load_model;"
        "print(before, 'workers.engines' in sys.modules, 'django' in sys.modules, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    assert result.stdout.split() == ["False", "True", "False", "False"], result.stderr


def test_other_names_are_missing_as_in_any_module():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = workers.nothing
