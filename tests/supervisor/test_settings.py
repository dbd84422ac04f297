"""Settings come from the environment, typed; a bad value is refused with its name and an example."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from chatsite.settings import env, secrets, services
from tests.supervisor.conftest import ROOT

NAME = "CHATSITE_EXAMPLE"


@pytest.fixture
def given(monkeypatch):
    def give(value: str) -> None:
        monkeypatch.setenv(NAME, value)

    return give


READERS = {
    "boolean": lambda: env.boolean(NAME, default=True),
    "integer": lambda: env.integer(NAME, 5, minimum=1, maximum=10),
    "seconds": lambda: env.seconds(NAME, 2.5, minimum=0.5),
    "choice": lambda: env.choice(NAME, "INFO", ("INFO", "DEBUG")),
    "url": lambda: env.url(NAME, ("redis", "unix"), "redis://redis.example:6379/0"),
    "words": lambda: env.words(NAME, ("a", "b")),
    "text": lambda: env.text(NAME, "fallback"),
}
DEFAULTS = {
    "boolean": True,
    "integer": 5,
    "seconds": 2.5,
    "choice": "INFO",
    "url": "",
    "words": ["a", "b"],
    "text": "fallback",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("value", [None, "", "   "])
def test_an_unset_or_empty_variable_means_the_default(reader, value, given):
    if value is not None:
        given(value)

    assert READERS[reader]() == DEFAULTS[reader]


@pytest.mark.parametrize(
    ("reader", "value", "read"),
    [
        ("boolean", "TRUE", True),
        ("boolean", "off", False),
        ("boolean", " 0 ", False),
        ("integer", " 10 ", 10),
        ("seconds", "0.5", 0.5),
        ("choice", "DEBUG", "DEBUG"),
        ("words", " a.example , b.example,, ", ["a.example", "b.example"]),
        ("url", "unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock?db=1"),
        ("url", "redis://:secret@[::1]:6379/0", "redis://:secret@[::1]:6379/0"),
    ],
)
def test_it_reads_a_good_value(reader, value, read, given):
    given(value)

    assert READERS[reader]() == read


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        ("boolean", "maybe", "'true' or 'false', for example CHATSITE_EXAMPLE=true"),
        ("boolean", "2", "'true' or 'false'"),
        ("integer", "abc", "a whole number of at least 1 and at most 10, for example CHATSITE_EXAMPLE=5"),
        ("integer", "1.5", "a whole number"),
        ("integer", "0", "of at least 1"),
        ("integer", "11", "at most 10"),
        ("integer", "1e1", "a whole number"),
        ("seconds", "soon", "a number of seconds, for example CHATSITE_EXAMPLE=2.5"),
        ("seconds", "0.1", "a number of seconds of at least 0.5"),
        ("seconds", "nan", "a number of seconds of at least 0.5"),
        ("seconds", "inf", "a number of seconds of at least 0.5"),
        ("choice", "info", "one of INFO, DEBUG, for example CHATSITE_EXAMPLE=INFO"),
    ],
)
def test_it_refuses_a_bad_value_with_its_name_and_an_example(reader, value, expected, given):
    given(value)

    with pytest.raises(ImproperlyConfigured) as refusal:
        READERS[reader]()
    assert str(refusal.value).startswith(f"{NAME}={value!r} is not valid: expected ")
    assert expected in str(refusal.value)


@pytest.mark.parametrize(
    "value",
    [
        "redis",
        "http://:geheim@x",
        "redis://",
        "redis://:geheim@host:notaport/0",
        "redis://:geheim@[::1",
        "//:geheim@x",
        "geheim",
    ],
)
def test_it_refuses_a_bad_url_without_showing_it(value, given):
    given(value)

    with pytest.raises(ImproperlyConfigured, match=f"{NAME}='…' is not valid") as refusal:
        READERS["url"]()
    assert "redis://redis.example:6379/0" in str(refusal.value)
    assert "geheim" not in str(refusal.value)


def test_a_folder_is_absolute_and_its_home_expanded(given, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given("here/below")
    assert env.folder(NAME, Path("/default")) == tmp_path / "here" / "below"

    given("~/chatsite")
    assert env.folder(NAME, Path("/default")) == Path.home() / "chatsite"

    monkeypatch.delenv(NAME)
    assert env.folder(NAME, Path("/default")) == Path("/default")


# Every variable the product reads, with values that must not pass.
BAD_SETTINGS = [
    ("CHATSITE_API_REQUESTS_PER_MINUTE", "-1"),
    ("CHATSITE_API_REQUESTS_PER_DAY", "few"),
    ("CHATSITE_API_TOKENS_PER_MINUTE", "-5"),
    ("CHATSITE_API_TOKENS_PER_DAY", "1e6"),
    ("CHATSITE_API_FILE_LIMIT_MB", "0"),
    ("CHATSITE_API_FILES_PER_USER_MB", "10GB"),
    ("CHATSITE_ARENA_VOTES_PER_USER", "0"),
    ("CHATSITE_ARENA_VOTES_PER_ADDRESS", "many"),
    ("CHATSITE_ARENA_MAX_TOKENS", "0"),
    ("CHATSITE_ARENA_SAMPLER", "random"),
    ("CHATSITE_ARENA_MODERATION_URL", "ftp://host/v1/moderations"),
    ("CHATSITE_PUBLIC_LEADERBOARD", "perhaps"),
    ("CHATSITE_API_REMOTE_IMAGES", "sometimes"),
    ("CHATSITE_DEBUG", "perhaps"),
    ("CHATSITE_HTTPS", "yes please"),
    ("CHATSITE_SIGNUP", "x"),
    ("CHATSITE_TRUSTED_PROXIES", "-1"),
    ("CHATSITE_TRUSTED_PROXIES", "many"),
    ("CHATSITE_EMAIL_URL", "mail.example"),
    ("CHATSITE_GENERATION_TIMEOUT", "0"),
    ("CHATSITE_GENERATION_TIMEOUT", "never"),
    ("CHATSITE_DATABASE_POOL", "many"),
    ("CHATSITE_QUEUE_LIMIT", "0"),
    ("CHATSITE_RUNNING_REPLIES_PER_USER", "0"),
    ("CHATSITE_LANGUAGE", "fr"),
    ("CHATSITE_LOG_LEVEL", "LOUD"),
    ("DATABASE_URL", "mysql://u:p@h/d"),
    ("REDIS_URL", "amqp://h"),
]


# Each in a process of its own, forked where everything is imported but the settings, which read the environment.
READ_EACH = """
import json, os, sys
import chatsite, django.core.exceptions
assert "chatsite.settings.base" not in sys.modules
for number, (name, value) in enumerate(json.load(sys.stdin)):
    if not (child := os.fork()):
        os.dup2(os.open(f"{sys.argv[1]}/{number}", os.O_WRONLY | os.O_CREAT), 2)
        os.environ[name] = value
        import chatsite.settings
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory) -> dict[tuple[str, str], str]:
    """What a process says at last that reads the settings with one of `BAD_SETTINGS`."""
    data, said = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("said")
    clean = {key: text for key, text in os.environ.items() if not key.startswith(("CHATSITE_", "DJANGO_"))}
    for name in ("DATABASE_URL", "REDIS_URL"):
        clean.pop(name, None)
    subprocess.run(
        [sys.executable, "-c", READ_EACH, str(said)],
        cwd=ROOT,
        env={**clean, "CHATSITE_DATA": str(data)},
        input=json.dumps(BAD_SETTINGS),
        text=True,
        timeout=300,
        check=True,
    )
    texts = [(said / str(number)).read_text().strip() for number in range(len(BAD_SETTINGS))]
    return {
        setting: (text.splitlines() or [""])[-1] for setting, text in zip(BAD_SETTINGS, texts, strict=True)
    }


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS)
def test_every_setting_is_refused_by_its_name(name, value, complaints):
    last_line = complaints[name, value]
    assert last_line.startswith(f"django.core.exceptions.ImproperlyConfigured: {name}=")
    assert f"for example {name}=" in last_line


def test_no_setting_is_read_without_a_reader():
    """Nothing but `env` looks into the environment, so nothing can be read untyped."""
    offenders = [
        path.name
        for path in sorted((ROOT / "chatsite" / "settings").glob("*.py"))
        if path.name not in ("env.py", "test.py")
        and re.search(r"os\.environ|getenv", path.read_text(encoding="utf-8"))
    ]

    assert offenders == []


def test_the_list_above_names_every_setting_that_can_be_wrong():
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "chatsite" / "settings").glob("*.py")
    )
    read = set(re.findall(r'env\.(?:boolean|integer|seconds|choice|url)\(\s*"(\w+)"', source))

    assert len(read) > 8
    assert read - {name for name, _ in BAD_SETTINGS} == set()


class TestSecrets:
    def test_it_makes_a_long_secret_once(self, tmp_path):
        path = tmp_path / "data" / "secrets" / "secret_key"

        secret = secrets.read_or_create(path)

        assert len(secret) == 64
        assert secrets.read_or_create(path) == secret

    def test_it_is_readable_by_its_owner_only_whatever_the_umask(self, tmp_path):
        path = tmp_path / "data" / "secrets" / "secret_key"
        umask = os.umask(0)
        try:
            secrets.read_or_create(path)
        finally:
            os.umask(umask)

        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700

    def test_it_leaves_no_draft_behind(self, tmp_path):
        secrets.read_or_create(tmp_path / "secrets" / "secret_key")

        assert [file.name for file in (tmp_path / "secrets").iterdir()] == ["secret_key"]

    def test_processes_that_start_together_agree(self, tmp_path):
        program = (
            "import sys; from pathlib import Path; from chatsite.settings.secrets import read_or_create\n"
            "sys.stdin.readline(); print(read_or_create(Path(sys.argv[1])))"
        )
        command = [sys.executable, "-c", program, str(tmp_path / "data" / "secrets" / "secret_key")]
        processes = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(6)
        ]

        for process in processes:  # all wait for this line
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        answers = {process.communicate(timeout=300)[0] for process in processes}

        assert len(answers) == 1
        assert len(answers.pop().strip()) == 64

    def test_the_loser_of_a_race_reads_the_winners_secret(self, tmp_path, monkeypatch):
        path = tmp_path / "secrets" / "secret_key"
        real_link = os.link

        def link_too_late(draft, target):
            path.write_text("the-winner\n")
            real_link(draft, target)

        monkeypatch.setattr(os, "link", link_too_late)

        assert secrets.read_or_create(path) == "the-winner"

    @pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
    def test_it_refuses_a_file_that_holds_no_secret(self, tmp_path, content):
        (tmp_path / "secret_key").write_bytes(content)

        with pytest.raises(ImproperlyConfigured, match=f"{tmp_path}/secret_key .*remove"):
            secrets.read_or_create(tmp_path / "secret_key")

    def test_it_says_where_it_cannot_write(self, tmp_path):
        (tmp_path / "file").touch()

        with pytest.raises(ImproperlyConfigured, match="CHATSITE_DATA="):
            secrets.read_or_create(tmp_path / "file" / "secrets" / "secret_key")


class TestServers:
    def test_sqlite_is_in_the_data_directory(self, tmp_path):
        assert services.database("", tmp_path)["NAME"] == tmp_path / "db.sqlite3"

    def test_a_postgresql_url_is_taken_apart(self, tmp_path):
        database = services.database(
            "postgresql://us%40er:p%2Fw@db.example:5433/my%20db?sslmode=require", tmp_path
        )

        assert database["USER"] == "us@er"
        assert database["PASSWORD"] == "p/w"
        assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.example", "5433", "my db")
        assert database["OPTIONS"] == {"sslmode": "require"}

    def test_connections_to_postgresql_are_pooled_and_then_not_kept_by_django_too(self, tmp_path):
        database = services.database("postgresql://u:p@db.example/chatsite", tmp_path, pool=7)

        assert database["OPTIONS"]["pool"]["max_size"] == 7
        assert database["CONN_MAX_AGE"] == 0  # Django refuses the two together

    def test_the_embedded_broker_has_its_socket_in_the_data_directory(self, tmp_path):
        assert services.broker_urls("", Path("/d")) == (
            "unix:///d/run/valkey.sock?db=0",
            "redis+socket:///d/run/valkey.sock?virtual_host=0",
        )

    def test_a_long_path_gets_its_socket_in_the_temporary_directory(self):
        folder = Path("/" + "x" * 120)

        path = services.embedded_socket(folder)

        assert len(str(path)) <= services.LONGEST_SOCKET_PATH
        assert path == services.embedded_socket(folder)
        assert path != services.embedded_socket(Path("/" + "y" * 120))

    def test_an_own_broker_is_taken_as_it_is(self):
        url = "rediss://:pw@redis.example:6380/2"

        assert services.broker_urls(url, Path("/d")) == (url, url)
