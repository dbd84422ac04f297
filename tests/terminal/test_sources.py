"""Talking without workers: to a model in this process, and at another server."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import CommandError, call_command

from workers.api import sse
from workers.library import load_model
from workers.protocol import ChatMessage, Failed, Finished, FinishReason, Sampling, Waiting
from workers.terminal.asking import Asking, new_request
from workers.terminal.sources import InProcess, Remote, SourceAway, body


class Server(ThreadingHTTPServer):
    """Answers with `words`, in OpenAI's stream; remembers what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.words = ["Hel", "lo ", "你好"]
        self.comments = [": keep-alive"]
        self.names = ["parrot"]
        self.bodies: list[dict] = []
        self.keys: list[str | None] = []
        self.finish: str | None = "stop"
        self.refuses = False
        self.release = threading.Event()
        self.waits = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.keys.append(self.headers["Authorization"])
        if self.server.refuses:
            self.reply(401, {"error": {"message": "no"}})
        elif self.path == "/v1/models":
            self.reply(200, {"data": [{"id": name} for name in self.server.names]})
        else:
            self.reply(404, {})

    def do_POST(self):
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if self.server.refuses:
            self.reply(400, {"error": {"message": "top_k is not known here"}})
            return
        self.send_response(200)
        self.end_headers()
        for comment in self.server.comments:
            self.event(comment)
        for word in self.server.words:
            self.event("data: " + json.dumps({"choices": [{"delta": {"content": word}}]}))
            if self.server.waits:
                self.server.release.wait(90)
        if self.server.finish:
            self.event(
                "data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": self.server.finish}]})
            )
            self.event('data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}')
            self.event("data: [DONE]")

    def event(self, line: str):
        try:
            self.wfile.write(line.encode() + b"\n\n")
            self.wfile.flush()
        except OSError:
            """The client went away."""

    def reply(self, status: int, answer: dict):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def remote(server):
    remote = Remote(server.address, "sk-x")
    yield remote
    remote.close()


@pytest.fixture
def pipe(monkeypatch, capfd):
    def run(text: str, *args: str) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
        call_command("chat", *args)
        return str(capfd.readouterr().out)

    return run


def ask(source, text: str = "Hi", **sampling):
    request = new_request(
        chat_model="parrot", messages=(ChatMessage("user", text),), sampling=Sampling(**sampling)
    )
    asking = Asking(request, source)
    deltas = list(asking.deltas())
    assert asking.answer is not None
    return deltas, asking.answer


class TestRemote:
    def test_it_streams_an_answer(self, remote, server):
        deltas, answer = ask(remote, temperature=0.0, stop=("x",))
        assert deltas == ["Hel", "lo ", "你好"]
        assert isinstance(answer.ending, Finished)
        assert (answer.ending.usage.prompt_tokens, answer.ending.usage.completion_tokens) == (5, 3)
        assert answer.worker == server.address.removeprefix("http://").removesuffix("/v1")
        assert server.bodies[0]["messages"] == [{"role": "user", "content": "Hi"}]
        assert (server.bodies[0]["temperature"], server.bodies[0]["stop"]) == (0.0, ["x"])

    @pytest.mark.parametrize("place", [Waiting(3), Waiting(1, loading=True)])
    def test_it_hears_the_place_in_the_queue_from_a_server_of_this_product(self, remote, server, place):
        server.comments = [sse.waiting(place).decode().strip()]
        heard: list[Waiting] = []
        asking = Asking(new_request(chat_model="parrot", messages=(), sampling=Sampling()), remote)

        assert list(asking.deltas(heard.append)) == ["Hel", "lo ", "你好"]
        assert heard == [place]

    def test_it_sends_nothing_that_was_not_said(self):
        request = new_request(chat_model="m", messages=(), sampling=Sampling())
        assert body(request).keys() == {"model", "messages", "stream", "stream_options"}

    @pytest.mark.parametrize(
        ("word", "reason"), [("length", FinishReason.LENGTH), ("stop", FinishReason.STOP)]
    )
    def test_it_says_how_it_ended(self, remote, server, word, reason):
        server.finish = word
        _, answer = ask(remote)
        assert isinstance(answer.ending, Finished)
        assert answer.ending.reason is reason

    def test_an_answer_that_breaks_off_is_a_failure(self, remote, server):
        server.finish = None
        _, answer = ask(remote)
        assert isinstance(answer.ending, Failed)
        assert "broke the answer off" in answer.ending.message

    def test_a_refusal_is_told_in_the_servers_words(self, remote, server):
        server.refuses = True
        _, answer = ask(remote)
        assert isinstance(answer.ending, Failed)
        assert "top_k is not known here" in answer.ending.message

    def test_it_can_be_stopped(self, remote, server, monkeypatch):
        server.waits = True
        cancel = remote.cancel

        def cancel_and_let_the_server_go_on(request):
            cancel(request)
            server.release.set()

        monkeypatch.setattr(remote, "cancel", cancel_and_let_the_server_go_on)
        request = new_request(chat_model="parrot", messages=(), sampling=Sampling())
        asking = Asking(request, remote)
        for _ in asking.deltas():
            asking.stop()
        assert asking.answer is not None
        assert asking.answer.stopped

    def test_a_server_that_is_away_is_named(self, remote):
        away = Remote("http://127.0.0.1:1/v1")
        with pytest.raises(SourceAway, match=r"127\.0\.0\.1:1 cannot be reached"):
            ask(away)
        with pytest.raises(SourceAway, match="cannot be reached"):
            away.models()
        away.close()
        with pytest.raises(SourceAway, match="is no address"):
            Remote("chat.example")

    def test_a_key_that_is_not_taken(self, remote, server):
        server.refuses = True
        with pytest.raises(SourceAway, match="OPENAI_API_KEY"):
            remote.models()

    def test_an_address_that_speaks_something_else(self, server):
        other = Remote(server.address + "/v2")
        with pytest.raises(SourceAway, match="end with /v1"):
            other.models()
        other.close()


class TestCommand:
    def test_it_talks_at_another_server(self, pipe, server, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        monkeypatch.delenv("CHATSITE_API_KEY", raising=False)
        assert pipe("Hi\n", f"--remote={server.address}", "--top-k=5", "--seed=3") == "Hello 你好\n"
        assert (server.bodies[0]["model"], server.bodies[0]["top_k"], server.bodies[0]["seed"]) == (
            "parrot",
            5,
            3,
        )
        assert server.keys == ["Bearer sk-mine"]

    def test_it_asks_which_of_several(self, pipe, server):
        server.names = ["a", "b"]
        with pytest.raises(CommandError, match=r"--model NAME\. The server lists:\n  a\n  b$"):
            pipe("Hi\n", f"--remote={server.address}")
        assert pipe("Hi\n", f"--remote={server.address}", "--model=b") == "Hello 你好\n"

    def test_it_talks_without_any_server(self, pipe):
        assert pipe("Hello\n你好 🦜\n", "--engine=scripted") == "Hello\n你好 🦜\n"
        assert pipe("Hi\n", "--engine=scripted", "--checkpoint=reply=Ho") == "Ho\n"

    def test_it_says_why_weights_cannot_be_loaded(self, pipe):
        with pytest.raises(CommandError, match=r"/nowhere\.gguf does not exist"):
            pipe("Hi\n", "--checkpoint=/nowhere.gguf")

    def test_without_history_each_message_is_a_talk_of_its_own(self, pipe, server):
        pipe("Hi\nHo\n", f"--remote={server.address}", "--no-history", "--system=Be brief.")
        assert [message["content"] for message in server.bodies[1]["messages"]] == ["Be brief.", "Ho"]

    def test_it_says_how_fast_it_was(self, monkeypatch, capfd):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one two\n"), encoding="utf-8"))
        call_command("chat", "--engine=scripted", "--debug")
        assert "[this process: 2 tokens in " in capfd.readouterr().err

    @pytest.mark.parametrize(
        ("option", "sentence"),
        [
            ("--top-k=0", "not a whole number from 1 on"),
            ("--min-p=2", "not a number from 0 to 1"),
            ("--repetition-penalty=0", "not a number from"),
            ("--presence-penalty=3", "not a number from -2 to 2"),
            ("--seed=-1", "not a whole number from 0 on"),
            ("--stop=", "ends nothing"),
            ("--remote=http://x", "not allowed with"),
        ],
    )
    def test_it_refuses_a_bad_option(self, pipe, option, sentence):
        with pytest.raises(CommandError, match=sentence):
            pipe("Hello\n", "--checkpoint=x", option)


def test_a_model_in_this_process_can_be_stopped():
    with load_model("rate=50&tokens=1000", engine="scripted") as model:
        source = InProcess(model)
        asking = Asking(
            new_request(chat_model="m", messages=(ChatMessage("user", "x"),), sampling=Sampling()), source
        )
        for _ in asking.deltas():
            asking.stop()
        assert asking.answer is not None
        assert asking.answer.stopped
        assert ask(source, max_tokens=2)[0]
