"""`manage.py up`: what it prepares, what it starts, and how it refuses."""

import io
import os
import socket
import stat
import subprocess
import sys
import types
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from chatsite.accounts.models import User
from chatsite.supervisor import preparing
from tests.supervisor.conftest import ROOT
from workers.management.commands import up
from workers.models import ChatModel
from workers.services import starting


@pytest.fixture
def data(tmp_path, settings) -> Path:
    folder: Path = tmp_path / "data"
    settings.DATA_DIR = folder
    settings.STATIC_ROOT = folder / "static"
    return folder


@pytest.fixture
def supervised(monkeypatch):
    """Instead of a supervisor that runs, one that writes down what it was given."""
    made: list[types.SimpleNamespace] = []

    class Noted:
        def __init__(self, children, **given):
            made.append(types.SimpleNamespace(children=children, **given))

        def run(self) -> int:
            return 0

    monkeypatch.setattr(up, "Supervisor", Noted)
    return made


def run_up(*arguments: str) -> str:
    """Run the command in this process, on a free port; what it said."""
    said = io.StringIO()
    original, sys.stdout = sys.stdout, said
    umask = os.umask(0o022)
    try:
        call_command("up", "--port", "0", *arguments, skip_checks=True)
    finally:
        os.umask(umask)
        sys.stdout = original
    return said.getvalue()


def names(supervised) -> list[str]:
    return [child.name for child in supervised[-1].children]


@pytest.mark.django_db(transaction=True)
class TestFirstStart:
    def test_it_prepares_everything_and_starts_the_children(self, data, supervised):
        said = run_up()

        assert names(supervised) == ["broker", "control", "web", "worker-smollm2-135m-instruct"]
        assert ChatModel.objects.get().name == "smollm2-135m-instruct"
        assert User.objects.get().is_superuser
        assert "First administrator: admin   password: " in said
        assert any((data / "static").rglob("*.css"))

    def test_it_prints_the_password_only_once(self, data, supervised):
        run_up()

        assert "password" not in run_up()

    def test_the_printed_password_logs_in(self, data, supervised, client):
        said = run_up()
        password = said.split("password: ")[1].split()[0]

        assert client.login(username="admin", password=password)

    def test_it_keeps_the_data_directory_to_its_owner(self, data, supervised):
        run_up()

        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in data.iterdir())

    def test_it_keeps_the_lock_until_the_last_child_is_gone(self, data, supervised):
        run_up()

        assert len(supervised[0].kept_open) == 1


@pytest.mark.django_db(transaction=True)
class TestChatModels:
    def test_it_hosts_those_that_are_marked(self, data, supervised, make_hosted):
        make_hosted("a")
        make_hosted("b", hosted_here=False)

        run_up()

        assert names(supervised)[3:] == ["worker-a"]

    def test_it_hosts_those_that_are_named_in_place_of_the_marked_ones(self, data, supervised, make_hosted):
        make_hosted("a")
        make_hosted("b", hosted_here=False)

        run_up("--model", "b", "--workers", "2", "--idle-unload", "30")

        assert names(supervised)[3:] == ["worker-b", "worker-b-2"]
        assert {child.command[-2:] for child in supervised[-1].children[3:]} == {("--idle-unload", "30")}

    def test_it_hosts_those_that_the_environment_names(self, data, supervised, make_hosted, monkeypatch):
        make_hosted("a")
        make_hosted("b", hosted_here=False)
        monkeypatch.setenv("CHATSITE_MODELS", "b, a")

        run_up()

        assert names(supervised)[3:] == ["worker-b", "worker-a"]

    def test_it_hosts_none_when_told_so(self, data, supervised):
        run_up("--no-model")

        assert names(supervised) == ["broker", "control", "web"]
        assert not ChatModel.objects.exists()
        assert supervised[0].probe.url.endswith("/healthz")

    def test_an_option_beats_the_environment(self, data, supervised, make_hosted, monkeypatch):
        make_hosted("a")
        monkeypatch.setenv("CHATSITE_NO_MODEL", "true")

        run_up("--model", "a")

        assert names(supervised)[3:] == ["worker-a"]

    def test_it_does_not_bring_a_deleted_default_model_back(self, data, supervised, make_hosted):
        make_hosted("mine")
        run_up()

        assert [chat_model.name for chat_model in ChatModel.objects.all()] == ["mine"]

    def test_it_says_so_when_none_is_marked(self, data, supervised, make_hosted):
        make_hosted("a", hosted_here=False)

        assert "No chat model is marked as hosted here" in run_up()

    def test_it_refuses_an_unknown_one_and_names_the_known(self, data, supervised, make_hosted):
        make_hosted("a")

        with pytest.raises(CommandError, match=r"'nope' is not a chat model of the catalog \(a\)"):
            run_up("--model", "nope")
        assert supervised == []

    def test_it_refuses_weights_that_are_not_there(self, data, supervised, make_hosted):
        make_hosted("a", engine="llama_cpp", checkpoint="/no/such/file.gguf")

        with pytest.raises(CommandError, match=r"a: there are no weights at /no/such/file\.gguf.*--no-model"):
            run_up()

    def test_it_refuses_a_default_model_whose_package_is_missing(self, data, supervised, make_hosted):
        make_hosted("a", engine="llama_cpp", checkpoint="package:no_such_package/file.gguf")

        with pytest.raises(CommandError, match="package no_such_package is not installed"):
            run_up()


@pytest.fixture
def make_hosted():
    def make(name: str, **fields) -> ChatModel:
        return ChatModel.objects.create(**{"name": name, "engine": "scripted", "hosted_here": True, **fields})

    return make


@pytest.mark.django_db
def test_the_default_chat_model_is_valid_and_its_weights_are_here():
    chat_model = starting.add_default_chat_model()

    assert chat_model is not None
    assert starting.chat_models_to_host() == [chat_model]
    assert starting.add_default_chat_model() is None


class TestRefusals:
    @pytest.mark.django_db(transaction=True)
    def test_it_refuses_a_second_start(self, data, supervised, monkeypatch):
        class StartsAnother:
            def __init__(self, children, **given):
                supervised.append(children)

            def run(self) -> int:
                with pytest.raises(CommandError, match=f"already runs in {data}"):
                    run_up()
                return 0

        monkeypatch.setattr(up, "Supervisor", StartsAnother)
        run_up("--no-model")

        assert len(supervised) == 1

    def test_it_refuses_a_taken_port_before_it_touches_the_database(self, data, supervised):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(CommandError, match=f"port {port} on 127.0.0.1 is taken"):
                call_command("up", "--port", str(port), skip_checks=True)

    def test_it_refuses_another_data_directory_than_the_settings_have(self, data, supervised):
        with pytest.raises(CommandError, match="CHATSITE_DATA=/elsewhere"):
            run_up("--data", "/elsewhere")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CHATSITE_PORT", "99999"),
            ("CHATSITE_PORT", "x"),
            ("CHATSITE_WORKERS", "0"),
            ("CHATSITE_NO_MODEL", "maybe"),
        ],
    )
    def test_it_refuses_a_bad_variable_by_its_name(self, data, supervised, monkeypatch, name, value):
        monkeypatch.setenv(name, value)

        with pytest.raises(ImproperlyConfigured, match=f"{name}='{value}' is not valid"):
            call_command("up", skip_checks=True)

    def test_it_refuses_a_data_directory_it_cannot_write_into(self, tmp_path):
        (tmp_path / "file").touch()

        with pytest.raises(preparing.CannotStart, match=r"cannot write into the data directory .*--data DIR"):
            preparing.make_folders(tmp_path / "file" / "data")

    def test_it_refuses_a_broker_that_does_not_answer(self, settings):
        settings.REDIS_URL = "redis://:geheim@127.0.0.1:1/0"

        with pytest.raises(
            preparing.CannotStart, match="the broker that REDIS_URL names does not answer"
        ) as refusal:
            preparing.check_broker()
        assert "geheim" not in str(refusal.value)


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CHATSITE_", "DJANGO_"))}
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


class TestAsAnOperatorSeesIt:
    @pytest.mark.parametrize(
        ("variable", "value", "sentence"),
        [
            ("CHATSITE_DEBUG", "maybe", "CHATSITE_DEBUG='maybe' is not valid: expected 'true' or 'false'"),
            ("REDIS_URL", "http://x", "REDIS_URL='…' is not valid: expected a URL that starts with redis://"),
            ("DATABASE_URL", "mysql://u:geheim@x/y", "DATABASE_URL='…' is not valid"),
            (
                "CHATSITE_DATA",
                "/etc/passwd/x",
                "cannot keep the secret /etc/passwd/x/secrets/secret_key: Not a directory",
            ),
        ],
    )
    def test_a_wrong_setting_is_one_sentence(self, tmp_path, variable, value, sentence):
        result = manage("up", **{"CHATSITE_DATA": str(tmp_path), variable: value})

        assert result.returncode == 1
        assert result.stderr.startswith(f"chatsite: {sentence}")
        assert result.stderr.count("\n") == 1
        assert "geheim" not in result.stderr

    def test_a_database_that_is_no_database_is_one_sentence(self, tmp_path):
        (tmp_path / "db.sqlite3").write_text("this is no database" * 100)

        result = manage("up", "--port", "0", "--skip-checks", CHATSITE_DATA=str(tmp_path))

        assert result.returncode == 1
        assert f"the database {tmp_path}/db.sqlite3 cannot be used: file is not a database" in result.stderr
        assert "Traceback" not in result.stderr


class TestStaticFiles:
    def test_it_collects_them_once(self, data):
        preparing.make_folders(data)

        assert preparing.collect_static()
        assert not preparing.collect_static()

    def test_it_collects_them_again_when_one_changed(self, data, tmp_path, settings):
        source = tmp_path / "static-source"
        source.mkdir()
        (source / "a.css").write_text("a {}")
        settings.STATICFILES_DIRS = [source]
        preparing.make_folders(data)
        preparing.collect_static()
        (source / "a.css").write_text("a { color: red }")

        assert preparing.collect_static()
        assert (data / "static" / "a.css").read_text() == "a { color: red }"

    def test_it_collects_them_again_when_they_are_gone(self, data):
        preparing.make_folders(data)
        preparing.collect_static()
        subprocess.run(["rm", "-r", data / "static"], check=True)

        assert preparing.collect_static()
