"""What docs/chat-templates.md shows is true."""

import io
import json
import re
import tomllib
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from workers import prompt_formats

ROOT: Path = settings.BASE_DIR
GUIDE = (ROOT / "docs" / "chat-templates.md").read_text(encoding="utf-8")
HI = [{"role": "user", "content": "Hi"}]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_the_declared_example_is_a_format(tmp_path):
    file = tmp_path / "my-format.toml"
    file.write_text(blocks("toml")[0])
    found = prompt_formats.load(str(file))
    assert found.template.render(HI) == "You are a helpful assistant. USER: Hi ASSISTANT:"
    assert (found.stop, found.stop_token_ids) == (("USER:",), (2,))


def test_the_example_in_jinja_is_one_too(tmp_path):
    file = tmp_path / "my-format.jinja"
    file.write_text(blocks("jinja")[0])
    found = prompt_formats.load(str(file))
    assert found.template.render(HI) == "<user>Hi<end><assistant>"
    assert found.stop == ("<end>",)


def test_the_rule_is_a_rule():
    (rule,) = tomllib.loads(blocks("toml")[1])["rules"]
    found = prompt_formats.Rule(rule["format"], tuple(rule["all"]), tuple(rule["none"]))
    assert found.fits("My-Model-7B-Chat")
    assert not found.fits("my-model-7b-chat-base")


def test_the_exact_prompt_is_what_the_command_prints(monkeypatch):
    session = blocks("console")[1]
    found = re.search(r"echo '(.*?)' \|", session, flags=re.DOTALL)
    assert found is not None
    json.loads(found[1])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(found[1].encode())))
    output = io.StringIO()
    call_command("models", "render", "--template=vicuna_v1.1", "--messages=-", stdout=output)
    assert output.getvalue() == session.splitlines()[-1]


@pytest.mark.parametrize("style", prompt_formats.styles())
def test_every_style_says_what_it_does(style):
    first = (prompt_formats.STYLES / f"{style}.jinja").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("{#- ")
    assert len(first) > 30
