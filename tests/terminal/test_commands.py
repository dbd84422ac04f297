"""`manage.py chat` and `manage.py test_message`, from their arguments to what they print."""

import io
import os
import re

import pytest
from django.core.management import CommandError, call_command

from tests.factories import make_chat_model
from tests.fakes import InProcessClient


@pytest.fixture
def pipe(monkeypatch, capfd):
    """Give text to standard input and get what `manage.py chat` prints for it."""

    def run(text: str, *args: str) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
        call_command("chat", *args)
        return str(capfd.readouterr().out)

    return run


@pytest.fixture
def print_message(capsys):
    def run(*args: str) -> str:
        call_command("test_message", *args)
        return str(capsys.readouterr().out)

    return run


@pytest.mark.usefixtures("parrot", "workers_client")
class TestChat:
    def test_it_prints_answers_plainly_in_a_pipe(self, pipe):
        assert pipe("Hello\n你好\n") == "Hello\n你好\n"

    def test_it_takes_the_catalogs_defaults(self, pipe, parrot, workers_client: InProcessClient):
        parrot.system_prompt = "Be brief."
        parrot.save()
        pipe("Hello\n")
        request = workers_client.requests[0]
        assert request.messages[0].content == "Be brief."
        assert (request.sampling.temperature, request.sampling.top_p) == (0.5, 0.9)
        assert request.sampling.max_tokens is None

    def test_options_go_before_the_catalog(self, pipe, workers_client: InProcessClient):
        pipe(
            "Hello\n",
            "--model=parrot",
            "--system=Sing.",
            "--temperature=0",
            "--top-p=0.5",
            "--max-tokens=9",
        )
        request = workers_client.requests[0]
        assert request.messages[0].content == "Sing."
        assert (request.sampling.temperature, request.sampling.top_p) == (0.0, 0.5)
        assert request.sampling.max_tokens == 9

    def test_an_empty_system_prompt_is_none(self, pipe, parrot, workers_client: InProcessClient):
        parrot.system_prompt = "Be brief."
        parrot.save()
        pipe("Hello\n", "--system=")
        assert [message.role for message in workers_client.requests[0].messages] == ["user"]

    def test_it_knows_aliases(self, pipe, parrot, workers_client: InProcessClient):
        parrot.aliases.create(name="gpt-4")
        workers_client.host_script("lorem")
        assert pipe("Hello\n", "--model=gpt-4") == "Hello\n"
        assert workers_client.requests[0].chat_model == "parrot"

    def test_it_serves_programs_as_fastchat_does(self, pipe):
        text = "two\nlines __END_OF_A_MESSAGE_47582648__\n!!exit __END_OF_A_MESSAGE_47582648__\nnever"
        assert pipe(text, "--style=programmatic") == (
            "[!OP:user]: two\nlines\n[!OP:assistant]: two\nlines\n[!OP:user]: !!exit\n"
        )

    def test_bytes_that_are_no_text_become_question_marks(self, monkeypatch, capfd):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8"))
        call_command("chat")
        assert capfd.readouterr().out == "caf\ufffd\n"

    def test_it_exits_with_1_when_a_message_failed(self, pipe, workers_client: InProcessClient):
        workers_client.host_script("parrot", "fail_after=0")
        with pytest.raises(SystemExit) as leaving:
            pipe("Hello\n")
        assert leaving.value.code == 1

    def test_it_asks_which_of_several(self, pipe, workers_client: InProcessClient):
        workers_client.host_script("lorem")
        with pytest.raises(
            CommandError, match=r"say which one, for example --model lorem:\n  lorem\n  parrot$"
        ):
            pipe("Hello\n")

    def test_it_lists_what_runs_when_the_name_is_unknown(self, pipe):
        with pytest.raises(CommandError, match=r"no chat model 'parot'\.\nRunning now:\n  parrot"):
            pipe("Hello\n", "--model=parot")

    def test_it_says_how_to_start_a_worker_for_a_known_one(self, pipe):
        make_chat_model("idle")
        with pytest.raises(CommandError, match=r"manage\.py worker --model idle"):
            pipe("Hello\n", "--model=idle")

    def test_it_says_that_no_worker_runs(self, pipe, workers_client: InProcessClient):
        workers_client.unhost("parrot")
        with pytest.raises(CommandError, match=r"No worker is running\. Start everything with bin/up"):
            pipe("Hello\n")

    @pytest.mark.parametrize(
        ("option", "sentence"),
        [
            ("--temperature=2.5", "not a number from 0 to 2"),
            ("--temperature=nan", "not a number from 0 to 2"),
            ("--temperature=warm", "not a number from 0 to 2"),
            ("--top-p=0", "not a number above 0"),
            ("--top-p=1.1", "not a number above 0"),
            ("--max-tokens=0", "not a whole number"),
            ("--max-tokens=1.5", "not a whole number"),
            ("--max-tokens=inf", "not a whole number"),
            ("--style=baroque", "invalid choice"),
        ],
    )
    def test_it_refuses_a_bad_option(self, pipe, option, sentence):
        with pytest.raises(CommandError, match=sentence):
            pipe("Hello\n", option)


@pytest.mark.usefixtures("workers_client")
def test_it_needs_no_catalog(pipe, settings, tmp_path, monkeypatch):
    """A worker's machine: a broker, but no database. (Without the `db` fixture any query would fail the test.)"""
    monkeypatch.setitem(settings.DATABASES["default"], "NAME", tmp_path / "db.sqlite3")
    assert pipe("Hello\n") == "Hello\n"
    assert not (tmp_path / "db.sqlite3").exists()


@pytest.mark.usefixtures("db")
def test_it_says_where_it_looked_for_the_broker(pipe, settings, tmp_path):
    settings.WORKERS_CLIENT = "workers.broker.BrokerClient"
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    with pytest.raises(CommandError, match=r"bin/up.*CHATSITE_DATA="):
        pipe("Hello\n")
    settings.EMBEDDED_BROKER = False
    settings.REDIS_URL = "redis://:hush-secret@127.0.0.1:1/0"
    with pytest.raises(CommandError, match="REDIS_URL") as refusal:
        pipe("Hello\n")
    assert "hush-secret" not in str(refusal.value)


@pytest.mark.usefixtures("parrot", "workers_client")
class TestTestMessage:
    def test_it_prints_the_answer_and_its_speed(self, print_message, workers_client: InProcessClient):
        workers_client.host_script("parrot", "rate=100&tokens=20")
        answer, _, speed = print_message("parrot", "Hello").partition("\n")
        assert answer == " ".join(f"w{number}" for number in range(20))
        found = re.search(r"\[in-process: 20 tokens in .* s, (.*) tokens/s, first token after \d+ ms;", speed)
        assert found is not None
        # 100 tokens a second by the script; a busy machine may be late, never early.
        assert 20 < float(found[1]) <= 101

    def test_it_has_a_message_of_its_own(self, print_message):
        assert "story" in print_message("parrot")

    def test_it_fails_when_the_answer_does(self, print_message, workers_client: InProcessClient):
        workers_client.host_script("parrot", "fail_after=0")
        with pytest.raises(CommandError, match="fails here on purpose"):
            print_message("parrot")

    def test_it_fails_when_nothing_is_said(self, print_message, workers_client: InProcessClient):
        workers_client.host_script("parrot", "tokens=0")
        with pytest.raises(CommandError, match="with no text"):
            print_message("parrot")

    def test_it_fails_for_an_unknown_chat_model(self, print_message):
        with pytest.raises(CommandError, match="no chat model 'parot'"):
            print_message("parot")


def test_the_commands_do_not_ask_for_a_database_to_check():
    from workers.management.commands import chat, test_message

    assert chat.Command.requires_system_checks == []
    assert test_message.Command.requires_system_checks == []


def test_the_terminals_encoding_does_not_stop_an_answer(monkeypatch, parrot, workers_client):
    read_end, write_end = os.pipe()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("你好 café\n".encode()), encoding="utf-8"))
    with os.fdopen(write_end, "w", encoding="latin-1") as latin, os.fdopen(read_end, "rb") as reader:
        monkeypatch.setattr("sys.stdout", latin)
        call_command("chat")
        latin.close()
        assert reader.read() == "?? café\n".encode("latin-1")
