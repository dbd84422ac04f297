"""The options of bin/up: each is an environment variable, and bad ones are refused before anything happens."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatsite.supervisor import options
from tests.supervisor.conftest import ROOT


def parse(*arguments: str) -> options.Options:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return options.from_namespace(parser.parse_args(arguments))


def run_up(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "bin" / "up", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_it_says_nothing_that_was_not_said():
    assert parse().to_environment() == {}


def test_it_turns_every_option_into_its_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    chosen = parse(
        "--host",
        "192.168.1.5",
        "--port",
        "0",
        "--data",
        "here",
        "--model",
        "a",
        "--model",
        "b",
        "--workers",
        "2",
        "--idle-unload",
        "7.5",
    )

    assert chosen.to_environment() == {
        "CHATSITE_HOST": "192.168.1.5",
        "CHATSITE_PORT": "0",
        "CHATSITE_DATA": str(tmp_path / "here"),
        "CHATSITE_MODELS": "a,b",
        "CHATSITE_WORKERS": "2",
        "CHATSITE_IDLE_UNLOAD": "7.5",
    }
    assert parse("--idle-unload", "0").to_environment() == {"CHATSITE_IDLE_UNLOAD": "0"}
    assert parse("--no-model").to_environment() == {"CHATSITE_NO_MODEL": "true"}
    assert parse("--no-training").to_environment() == {"CHATSITE_NO_TRAINING": "true"}
    assert parse("--demo").to_environment() == {"CHATSITE_DEMO": "true"}


def test_a_demo_without_chat_models_is_refused():
    with pytest.raises(options.OptionError, match="--no-model and --demo"):
        parse("--no-model", "--demo")


def test_it_expands_the_home_directory():
    assert parse("--data", "~/chatsite").to_environment() == {"CHATSITE_DATA": str(Path.home() / "chatsite")}


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", ""])
def test_minutes_are_a_number_of_at_least_zero(text, capsys):
    with pytest.raises(SystemExit):
        parse(f"--idle-unload={text}")

    said = f"argument --idle-unload: {text!r} is not a number of minutes of at least 0, for example 30"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "abc"], "argument --port: 'abc' is not a whole number from 0 to 65535"),
        (["--port", "65536"], "argument --port: '65536' is not a whole number from 0 to 65535"),
        (["--port=-1"], "argument --port: '-1' is not a whole number from 0 to 65535"),
        (["--workers", "0"], "argument --workers: '0' is not a whole number from 1 to 64"),
        (["--model", "a", "--no-model"], "--no-model and --model contradict each other"),
        (["--prot", "1"], "unrecognized arguments: --prot"),
        (["--p", "1"], "unrecognized arguments: --p"),
    ],
)
def test_bin_up_refuses_a_bad_option_in_a_sentence(arguments, sentence):
    result = run_up(*arguments)

    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_bin_up_refuses_a_bad_variable_in_a_sentence():
    result = run_up("--no-install", CHATSITE_NO_MODEL="perhaps")

    assert result.returncode == 1
    assert "CHATSITE_NO_MODEL='perhaps' is not valid" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_help_names_every_variable():
    result = run_up("--help")

    assert result.returncode == 0
    for name in (
        "HOST",
        "PORT",
        "DATA",
        "MODELS",
        "NO_MODEL",
        "NO_TRAINING",
        "WORKERS",
        "IDLE_UNLOAD",
        "NO_INSTALL",
    ):
        assert f"CHATSITE_{name}" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 120


def test_it_takes_the_data_directory_before_settings_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("CHATSITE_DATA", "/elsewhere")

    options.take_data_directory(["--port", "1", "--data", str(tmp_path), "--unknown"])
    assert os.environ["CHATSITE_DATA"] == str(tmp_path)

    options.take_data_directory(["--port", "1", "--help"])
    assert os.environ["CHATSITE_DATA"] == str(tmp_path)


@pytest.mark.parametrize("other", [("--install-only",), ("--extra", "hf")])
def test_bin_up_installs_something_or_nothing(other):
    result = run_up("--no-install", *other)

    assert result.returncode == 2
    assert f"--no-install and {other[0]} contradict each other" in result.stderr
