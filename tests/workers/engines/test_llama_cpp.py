"""What only the llama.cpp engine does. The weights are SmolLM2's; without them these tests are skipped."""

import json
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial

import pytest

from tests.workers.engines.conftest import CONTEXT, Asked
from tests.workers.support import at_once, make_request
from workers.engines.base import EngineError, Meter, StopSignal
from workers.engines.llama_cpp import LlamaCppEngine
from workers.engines.llama_cpp_loading import check_gguf
from workers.engines.llama_cpp_wire import Wish, failure, guess_tokens, payload
from workers.protocol import ChatMessage, Delta, ErrorCode, Failed, Finished

LONG = "Please read this very carefully. " * 100  # about 700 tokens, six steps


def rendered(engine: LlamaCppEngine, request) -> str:
    """The prompt that llama.cpp makes of the messages."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    return str(engine._post("/apply-template", {"messages": messages})["prompt"])


class TestCounting:
    @pytest.mark.parametrize("text", ["What is the capital of France?", "你好，世界！😀", "a\n\n\tb  c"])
    def test_usage_is_what_llama_cpp_s_tokenizer_says(self, llama_cpp: Asked, text):
        request = make_request(text, temperature=0.0, seed=1, max_tokens=12)
        answer = llama_cpp.answer(request)
        engine = llama_cpp.engine
        assert isinstance(engine, LlamaCppEngine)
        body = {"content": rendered(engine, request), "add_special": False, "parse_special": True}
        assert answer.usage.prompt_tokens == len(engine._post("/tokenize", body)["tokens"])
        made = engine.count_tokens(answer.text)
        assert answer.usage.completion_tokens in {made, made + 1}  # and the one that ends the turn
        assert answer.usage.cached_tokens == 0

    def test_what_is_there_already_is_counted_as_cached(self, llama_cpp: Asked):
        text = f"Tell me about {time.time()}. " + "word " * 100
        first = llama_cpp.ask(text, max_tokens=2)
        again = llama_cpp.ask(text, max_tokens=2)
        assert again.usage.prompt_tokens == first.usage.prompt_tokens
        assert 50 < again.usage.cached_tokens < again.usage.prompt_tokens

    def test_a_stopped_reply_is_counted_exactly(self, llama_cpp: Asked):
        stop = StopSignal()
        texts = []
        request = make_request("Tell me a long story.", temperature=0.0, seed=1, max_tokens=300)
        for event in llama_cpp.stream(request, stop):
            if isinstance(event, Delta):
                texts.append(event.text)
                if len(texts) == 6:
                    stop.set("cancelled")
        assert isinstance(llama_cpp.engine, LlamaCppEngine)
        assert isinstance(event, Finished)
        made = llama_cpp.engine.count_tokens("".join(texts))
        assert made <= event.usage.completion_tokens <= made + 2
        assert event.usage.prompt_tokens > 5


class TestStoppingWhileThePromptIsRead:
    def test_it_is_heard_within_a_step(self, llama_cpp: Asked):
        whole = time.monotonic()
        llama_cpp.ask(LONG, seed=1, max_tokens=1)
        whole = time.monotonic() - whole

        quickest = float("inf")
        for _ in range(5):  # the machine may be busy with something else just now
            stop = StopSignal()
            began = time.monotonic()
            timer = at_later(0.01, partial(stop.set, "cancelled"))
            answer = llama_cpp.answer(make_request(LONG, seed=1, max_tokens=50), stop)
            quickest = min(quickest, time.monotonic() - began)
            timer.join()
            assert answer.reason == "cancelled"
            assert answer.text == ""
            if quickest < max(0.8 * whole, 1.0):
                break
        assert quickest < max(0.8 * whole, 1.0)
        assert llama_cpp.ask("Hello", max_tokens=2).text


def at_later(seconds, act):
    import threading

    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


class TestFullCache:
    @pytest.fixture(scope="class")
    @classmethod
    def narrow(cls, smollm2):
        """Three slots that share 256 tokens."""
        engine = LlamaCppEngine("narrow", smollm2, slots=3, context_length=256, threads=1)
        yield Asked(engine)
        engine.close()

    def test_requests_that_do_not_fit_together_all_get_to_the_end(self, narrow: Asked):
        # The prompts alone need more than the 256 tokens, however long the answers get; llama.cpp by itself would end
        # all three with an error.
        text = "word " * 60 + "Count from 11 to 1000, one number after the other."
        answers = at_once(3, lambda number: narrow.ask(text, temperature=0.0, max_tokens=100 + number))
        for answer in answers:
            assert answer.reason in {"stop", "length"}
        assert sum(answer.usage.completion_tokens + answer.usage.prompt_tokens for answer in answers) > 256
        for number, answer in enumerate(answers):
            assert answer.usage.completion_tokens <= 100 + number
            assert answer.usage.prompt_tokens == answers[0].usage.prompt_tokens

    def test_a_long_prompt_beside_a_long_answer(self, narrow: Asked):
        def ask(number):
            if number:
                return narrow.ask("word " * 150, temperature=0.0, max_tokens=20)
            return narrow.ask(
                "Count from 11 to 1000, one number after the other.", temperature=0.0, max_tokens=150
            )

        for answer in at_once(2, ask):
            assert answer.reason in {"stop", "length"}

    def test_one_alone_may_fill_the_whole_context(self, narrow: Asked):
        answer = narrow.ask("Count from 11 to 1000, one number after the other.", temperature=0.0)
        assert answer.reason in {"stop", "length"}
        assert answer.usage.prompt_tokens + answer.usage.completion_tokens <= 256

    def test_one_that_waits_for_room_can_be_stopped(self, narrow: Asked):
        running, waiting = StopSignal(), StopSignal()
        events = narrow.stream(make_request("word " * 150, max_tokens=60), running)
        next(events)
        timer = at_later(0.1, lambda: waiting.set("cancelled"))
        answer = narrow.answer(make_request("word " * 150, max_tokens=5), waiting)
        timer.join()
        assert answer.reason == "cancelled"
        assert answer.usage.completion_tokens == 0
        events.close()
        assert narrow.ask("Hello", max_tokens=2).text


class TestLoading:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(EngineError, match=r"nothing\.gguf does not exist"):
            LlamaCppEngine("m", tmp_path / "nothing.gguf")

    def test_a_folder(self, tmp_path):
        with pytest.raises(EngineError, match="is a folder"):
            LlamaCppEngine("m", tmp_path)

    @pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04", b"<html>not found</html>"])
    def test_another_kind_of_file(self, tmp_path, content):
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        with pytest.raises(EngineError, match="not a GGUF file"):
            check_gguf(path)

    def test_damaged_files_in_one_process_that_survives(self, smollm2, tmp_path):
        # In a process of its own: were llama.cpp to abort, this must be a failure and not the end of the test run.
        whole = smollm2.read_bytes()
        dice = random.Random(1)
        damaged = {
            "magic": whole[:4],
            "header": whole[:24],
            "version": whole[:4] + b"\xff\xff\x00\x00" + whole[8:4096],
            "keys": whole[:16] + b"\xff" * 8 + whole[24:4096],
            "tensors": whole[:8] + b"\xff" * 8 + whole[16:4096],
            "half": whole[: len(whole) // 2],
            "last": whole[:-1],
        }
        for number in range(3):
            scattered = bytearray(whole)
            for _ in range(20):
                scattered[dice.randrange(24, 1_000_000)] = dice.randrange(256)
            damaged[f"scattered{number}"] = bytes(scattered)
        paths = []
        for name, content in damaged.items():
            paths.append(tmp_path / f"{name}.gguf")
            paths[-1].write_bytes(content)
        run = subprocess.run(
            [sys.executable, "-c", LOAD_EACH, *paths],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert run.returncode == 0, run.stderr[-2000:]
        refusals = json.loads(run.stdout.splitlines()[-1])
        assert len(refusals) == len(paths)
        for path, refusal in zip(paths, refusals, strict=True):
            assert refusal.startswith(f"llama.cpp cannot load {path}: ")
            assert refusal.count(". ") == 0, "one sentence"

    def test_closing_twice_is_once(self, smollm2):
        engine = LlamaCppEngine("m", smollm2, slots=1, context_length=128, threads=1)
        engine.close()
        engine.close()

    def test_the_context_is_the_checkpoint_s_own_without_another_wish(self, smollm2):
        engine = LlamaCppEngine("m", smollm2, slots=2, threads=1)
        assert (engine.hosted.context_length, engine.hosted.slots) == (8192, 2)
        engine.close()


LOAD_EACH = """
import json, sys
from pathlib import Path
from workers.engines.base import EngineError
from workers.engines.llama_cpp import LlamaCppEngine
refusals = []
for path in sys.argv[1:]:
    try:
        LlamaCppEngine("m", Path(path), slots=1, context_length=128).close()
        refusals.append("loaded")
    except EngineError as error:
        refusals.append(str(error))
print(json.dumps(refusals))
"""


class TestTheServerBeside:
    @pytest.mark.parametrize("path", ["/props", "/slots", "/tokenize", "/v1/chat/completions", "/completion"])
    def test_it_answers_nobody_without_the_key(self, llama_cpp: Asked, path):
        engine = llama_cpp.engine
        assert isinstance(engine, LlamaCppEngine)
        assert engine.address.startswith("http://127.0.0.1:")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                engine.address + path, b"{}", timeout=60
            )
        with caught.value as refusal:  # an open answer
            assert refusal.code in {401, 403, 404}


class TestTranslating:
    def test_what_was_not_said_is_left_to_llama_cpp(self):
        body = payload(Wish(make_request("hi")))
        assert body["messages"] == [{"role": "user", "content": "hi"}]
        assert not {"temperature", "top_p", "max_tokens", "seed", "stop", "cache_prompt"} & set(body)

    def test_everything_that_was_said_is_passed_on(self):
        request = make_request(
            "hi",
            temperature=0.0,
            top_p=0.5,
            max_tokens=7,
            seed=2**32 + 5,
            presence_penalty=1.0,
            frequency_penalty=-1.0,
        )
        body = payload(Wish(request))
        expected = {"temperature": 0.0, "top_p": 0.5, "max_tokens": 7, "seed": 5, "cache_prompt": False}
        assert expected.items() <= body.items()
        assert (body["presence_penalty"], body["frequency_penalty"]) == (1.0, -1.0)

    def test_a_prefix_is_an_open_turn_that_counts_into_the_limit(self):
        body = payload(Wish(make_request("hi", prefix="Hel", max_tokens=7)), before=2)
        assert body["messages"][1:] == [{"role": "assistant", "content": "Hel"}]
        assert body["max_tokens"] == 5

    def test_a_prefix_behind_an_open_turn_makes_it_longer(self):
        messages = (ChatMessage("user", "hi"), ChatMessage("assistant", "Well, "))
        body = payload(Wish(make_request(messages=messages, prefix="hel")))
        assert body["messages"][1:] == [{"role": "assistant", "content": "Well, hel"}]
        assert messages[1].content == "Well, "

    def test_a_guess_of_the_length_is_about_right(self, llama_cpp: Asked):
        for text in ("Hello", "word " * 150, "你好世界" * 20):
            exact = llama_cpp.ask(text, max_tokens=1).usage.prompt_tokens
            assert exact / 3 < guess_tokens(make_request(text)) + 30 < exact * 3 + 60

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (
                {"type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 5},
                ErrorCode.CONTEXT_OVERFLOW,
            ),
            ({"type": "invalid_request_error", "message": "secret"}, ErrorCode.INVALID_REQUEST),
            ({"type": "server_error", "message": "secret"}, ErrorCode.ENGINE_FAILURE),
            ({"message": "secret"}, ErrorCode.ENGINE_FAILURE),
        ],
    )
    def test_its_errors_are_told_without_its_words(self, error, code):
        failed = failure(Meter(), error)
        assert failed.code is code
        assert "secret" not in failed.message

    def test_an_exception_in_llama_cpp_is_a_failure(self, llama_cpp: Asked, monkeypatch, caplog):
        def broken(body, on_chunk):
            raise RuntimeError("secret")

        engine = llama_cpp.engine
        assert isinstance(engine, LlamaCppEngine)
        monkeypatch.setattr(
            engine, "run", lambda body, on_chunk: engine._threads.submit(broken, body, on_chunk)
        )
        answer = llama_cpp.ask("hi")
        assert isinstance(answer.last, Failed)
        assert answer.last.code is ErrorCode.ENGINE_FAILURE
        assert "RuntimeError" in caplog.text
        assert "secret" not in caplog.text + answer.last.message

    def test_values_it_cannot_use_do_not_hurt_it(self, llama_cpp: Asked):
        for values in (
            {"temperature": 1e30},
            {"temperature": -1.0},
            {"top_p": 0.0},
            {"top_p": 7.0},
            {"seed": -1},
        ):
            assert llama_cpp.ask("Hello", max_tokens=3, **values).reason in {
                "stop",
                "length",
                "invalid_request",
            }
        assert llama_cpp.ask("a\x00b \u2028", max_tokens=3).reason in {"stop", "length"}
        assert llama_cpp.engine.hosted.context_length == CONTEXT


def test_the_next_turn_goes_on_with_the_last_one_whoever_asked_in_between(llama_cpp):
    long = " ".join(f"Note {number}: the baker moved in spring." for number in range(12))
    first = (ChatMessage("user", long),)
    said = llama_cpp.ask(messages=first, max_tokens=2, temperature=0.0)
    for stranger in range(2):
        llama_cpp.ask(f"Somebody else, number {stranger}, says hello.", max_tokens=1)
    second = (*first, ChatMessage("assistant", said.text), ChatMessage("user", "And then?"))
    usage = llama_cpp.ask(messages=second, max_tokens=1, temperature=0.0).usage
    assert usage.cached_tokens > 0.8 * usage.prompt_tokens
