"""Checkpoints from a hub: against a small server that speaks its API."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command

from workers.models import ChatModel
from workers.pulling import CannotPull, HuggingFace, ModelScope, RemoteFile, choose_files, find_offline, pull

WEIGHTS = bytes(range(256)) * 4000
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"[]",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickle",
    "onnx/model.safetensors": b"other",
    "../outside.json": b"no",
}


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(FILES)
        self.asked: list[tuple[str, str | None]] = []
        self.tokens: set[str | None] = set()
        self.cut_at: int | None = None
        self.damaged = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = urlsplit(self.path)
        self.server.asked.append((self.path, self.headers["Range"]))
        self.server.tokens.add(self.headers["Authorization"])
        if parts.path == "/api/models/org/tiny/revision/main":
            siblings = [
                {"rfilename": name, "size": len(data), "lfs": {"sha256": hashlib.sha256(data).hexdigest()}}
                for name, data in self.server.files.items()
            ]
            answer = {"sha": "abc123", "siblings": siblings, "cardData": {"license": "apache-2.0"}}
            self.reply(json.dumps(answer).encode())
        elif parts.path.startswith("/org/tiny/resolve/abc123/"):
            self.file(self.server.files[parts.path.removeprefix("/org/tiny/resolve/abc123/")])
        elif parts.path == "/api/v1/models/org/tiny/repo/files":
            entries = [{"Path": n, "Size": len(d), "Type": "blob"} for n, d in self.server.files.items()]
            self.reply(json.dumps({"Code": 200, "Data": {"Files": [*entries, {"Type": "tree"}]}}).encode())
        elif parts.path == "/api/v1/models/org/tiny/repo":
            self.file(self.server.files[parse_qs(parts.query)["FilePath"][0]])
        elif "gated" in parts.path:
            self.reply(b"", 401)
        elif "odd" in parts.path:
            self.reply(b"[]")
        else:
            self.reply(b"", 404)

    def file(self, data: bytes):
        if self.server.damaged:
            data = bytes(len(data))
        begin = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        rest = data[begin:]
        if self.server.cut_at is not None and len(rest) > self.server.cut_at:
            rest = rest[: self.server.cut_at]
        self.reply(rest, 206 if begin else 200)

    def reply(self, body: bytes, status: int = 200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    def run(repo="org/tiny", hub=HuggingFace, **values):
        return pull(hub(server.address), repo, tmp_path / "here", say=lambda text: None, **values)

    return run


class TestPulling:
    def test_it_fetches_what_loads_and_nothing_else(self, fetch, tmp_path):
        assert fetch() == (tmp_path / "here", "apache-2.0")
        assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
        ]
        assert (tmp_path / "here" / "model.safetensors").read_bytes() == WEIGHTS
        assert not (tmp_path / "outside.json").exists()

    def test_it_fetches_nothing_twice(self, fetch, server):
        fetch()
        server.asked.clear()
        fetch()
        assert [path for path, _ in server.asked] == ["/api/models/org/tiny/revision/main?blobs=true"]

    def test_it_goes_on_where_it_broke_off(self, fetch, server, tmp_path):
        server.cut_at = 1000
        with pytest.raises(CannotPull, match=r"model\.safetensors broke off after 1000 of 1024000 bytes"):
            fetch()
        server.cut_at = None
        server.asked.clear()
        fetch()
        assert ("/org/tiny/resolve/abc123/model.safetensors", "bytes=1000-") in server.asked
        assert (tmp_path / "here" / "model.safetensors").read_bytes() == WEIGHTS

    def test_a_damaged_file_is_not_kept(self, fetch, server, tmp_path):
        server.damaged = True
        with pytest.raises(CannotPull, match="its checksum is not the hub's"):
            fetch()
        assert list((tmp_path / "here").iterdir()) == []

    def test_modelscope(self, fetch, server, tmp_path):
        assert fetch(hub=ModelScope).path == tmp_path / "here"
        assert (tmp_path / "here" / "model.safetensors").read_bytes() == WEIGHTS
        assert "Revision=master" in server.asked[0][0]

    @pytest.mark.parametrize(
        ("repo", "sentence"),
        [
            ("tiny", "write it as ORGANISATION/NAME"),
            ("../../etc/passwd", "write it as ORGANISATION/NAME"),
            ("org/nothing", "knows no such model"),
            ("org/gated", "HF_TOKEN"),
            ("org/odd", "unexpected"),
        ],
    )
    def test_it_says_why_it_cannot(self, fetch, repo, sentence):
        with pytest.raises(CannotPull, match=sentence):
            fetch(repo)

    def test_a_hub_that_is_away(self, tmp_path):
        with pytest.raises(CannotPull, match="cannot be reached"):
            pull(HuggingFace("http://127.0.0.1:1"), "org/tiny", tmp_path, say=lambda text: None)

    def test_it_looks_for_room_first(self, fetch, server, monkeypatch):
        monkeypatch.setattr(
            "workers.pulling.shutil.disk_usage", lambda folder: type("Usage", (), {"free": 5})
        )
        with pytest.raises(CannotPull, match=r"has room for 0\.0 GiB"):
            fetch()
        assert len(server.asked) == 1


class TestChoosing:
    def chosen(self, *paths: str, pattern: str = "") -> list[str]:
        return [file.path for file in choose_files([RemoteFile(path, 1, "") for path in paths], pattern)]

    def test_the_only_gguf(self):
        assert self.chosen("README.md", "m.gguf") == ["m.gguf"]

    def test_all_parts_of_one(self):
        parts = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
        assert self.chosen(*parts, "x.gguf", pattern="m-*") == parts

    def test_one_of_several_has_to_be_named(self):
        with pytest.raises(CannotPull, match=r"--file NAME.*: m\.Q4\.gguf, m\.Q8\.gguf"):
            self.chosen("m.Q4.gguf", "m.Q8.gguf")
        assert self.chosen("m.Q4.gguf", "m.Q8.gguf", pattern="*Q8*") == ["m.Q8.gguf"]
        with pytest.raises(CannotPull, match="GGUF files here"):
            self.chosen("m.Q4.gguf", pattern="*Q5*")

    def test_pickles_are_not_loaded(self):
        with pytest.raises(CannotPull, match="safe to load"):
            self.chosen("pytorch_model.bin", "config.json")


class TestOffline:
    @pytest.mark.parametrize("place", ["org/tiny", "org--tiny", "tiny", "models--org--tiny/snapshots/abc"])
    def test_it_finds_a_folder(self, tmp_path, place):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.json").write_text("{}")
        assert find_offline(tmp_path, "org/tiny") == tmp_path / place

    def test_it_says_where_it_looked(self, tmp_path):
        with pytest.raises(CannotPull, match=r"holds no org/tiny; looked for .*org--tiny"):
            find_offline(tmp_path, "org/tiny")


@pytest.mark.django_db
class TestCommand:
    def test_it_enters_what_it_fetched_into_the_catalog(self, server, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        server.files = {"Tiny.Q4.gguf": b"GGUF"}
        call_command(
            "models", "pull", "org/tiny", f"--mirror={server.address}", f"--to={tmp_path}", "--alias=t"
        )
        tiny = ChatModel.objects.get(name="tiny")
        assert (tiny.checkpoint, tiny.licence) == (f"{tmp_path}/Tiny.Q4.gguf", "apache-2.0")
        assert tiny.aliases.get().name == "t"
        assert "1/1  Tiny.Q4.gguf" in capsys.readouterr().out
        assert server.tokens == {None}  # no secret over a line that can be read

    def test_an_offline_folder_is_used_where_it_is(self, tmp_path):
        (tmp_path / "org" / "tiny").mkdir(parents=True)
        (tmp_path / "org" / "tiny" / "m.gguf").write_bytes(b"GGUF")
        call_command("models", "pull", "org/tiny", f"--from={tmp_path}", "--name=mine")
        assert ChatModel.objects.get(name="mine").checkpoint == str(tmp_path / "org" / "tiny" / "m.gguf")

    def test_it_says_what_is_wrong(self, tmp_path):
        with pytest.raises(CommandError, match="holds no org/tiny"):
            call_command("models", "pull", "org/tiny", f"--from={tmp_path}")
        with pytest.raises(CommandError, match="--mirror: 'ftp://x' is no address"):
            call_command("models", "pull", "org/tiny", "--mirror=ftp://x")
