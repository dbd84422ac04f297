"""`manage.py models`."""

import io

import pytest
from django.core.management import CommandError, call_command

from arena.models import Conversation
from tests.factories import make_chat_model
from workers.models import ChatModel

pytestmark = pytest.mark.usefixtures("db", "workers_client")


@pytest.fixture
def models(capsys):
    def run(*args: str) -> str:
        call_command("models", *args)
        return str(capsys.readouterr().out)

    return run


def test_it_lists_the_catalog_with_its_live_state(models, parrot):
    make_chat_model("silent", published=False, hosted_here=True, description="小模型")
    header, first, second = models("list").splitlines()
    assert header.split()[:3] == ["NAME", "STATE", "WORKERS"]
    assert first.split()[:7] == ["parrot", "ready", "1", "64", "scripted", "yes", "no"]
    assert second.split() == ["silent", "offline", "0", "8", "scripted", "no", "yes", "小模型"]


def test_it_lists_what_a_worker_brings_before_the_catalog_has_it(models):
    assert models("list").splitlines()[1].split() == ["parrot", "ready", "1", "64", "not", "yet"]


def test_it_says_how_to_fill_an_empty_catalog(models, workers_client):
    workers_client.unhost("parrot")
    assert "manage.py models add" in models("list")


def test_it_shows_a_chat_model(models, parrot):
    shown = models("show", "parrot")
    assert "ready (1 worker, 64 slots, 0 running, 0 waiting)" in shown
    assert "Repeats what it is told." in shown
    assert "licence        -" in shown


def test_it_says_what_there_is_when_a_name_is_unknown(models, parrot):
    for verb in ("show", "remove"):
        with pytest.raises(CommandError, match=r"no chat model 'parot' \(parrot\)"):
            models(verb, "parot")


def test_it_adds_a_chat_model_with_everything_that_is_said(models):
    text = models(
        *("add", "tiny", "--engine=scripted", "--checkpoint=rate=20", "--slots=3", "--context=512"),
        *("--description=Small.", "--licence=MIT", "--system=Be brief.", "--temperature=0.1", "--top-p=0.5"),
        *("--hosted-here", "--no-publish"),
    )
    assert "next start of bin/up" in text
    values = dict(ChatModel.objects.values().get(name="tiny"))
    assert {key: value for key, value in values.items() if key not in ("id", "created_at")} == {
        "name": "tiny",
        "engine": "scripted",
        "checkpoint": "rate=20",
        "slots": 3,
        "context_length": 512,
        "template": "",
        "engine_options": {},
        "description": "Small.",
        "licence": "MIT",
        "system_prompt": "Be brief.",
        "temperature": 0.1,
        "top_p": 0.5,
        "hosted_here": True,
        "published": False,
    }


def test_it_publishes_what_is_added_and_names_the_next_step(models):
    assert "manage.py worker --model tiny" in models("add", "tiny", "--checkpoint=/srv/tiny.gguf")
    assert ChatModel.objects.get(name="tiny").published


@pytest.mark.parametrize(
    ("checkpoint", "engine"),
    [("/m/x.gguf", "llama_cpp"), ("org/name", "transformers"), ("vllm:Qwen/Qwen3-8B", "upstream")],
)
def test_it_takes_the_engine_that_the_checkpoint_looks_like(models, checkpoint, engine):
    models("add", "tiny", "--checkpoint", checkpoint)
    assert ChatModel.objects.get().engine == engine


def test_it_says_when_the_weights_are_not_on_this_machine(models, tmp_path):
    (tmp_path / "x.gguf").touch()
    assert "no /no/such.gguf on this machine" in models("add", "far", "--checkpoint=/no/such.gguf")
    assert "on this machine" not in models("add", "near", f"--checkpoint={tmp_path}/x.gguf")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["two words"], "NAME: Use letters"),
        (["parrot"], "NAME: the catalog has parrot already"),
        (["tiny", "--slots=0"], "--slots: .*greater than or equal to 1"),
        (["tiny", "--slots=x"], "not a whole number"),
        (["tiny", "--temperature=9"], "--temperature: .*less than or equal to 2"),
        (["tiny", "--temperature=nan"], "--temperature: "),
        (["tiny", "--engine=steam"], "invalid choice"),
        (["tiny", "--hosted-here"], "--checkpoint: A chat model that is hosted here needs its weights"),
        (["tiny", "--hosted-here", "--checkpoint=/no/such.gguf"], "no weights at /no/such.gguf"),
        (["tiny", "--checkpoint=package:x"], "--checkpoint: Write package:NAME/FILE"),
    ],
)
def test_it_names_the_option_that_is_wrong_and_adds_nothing(models, parrot, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        models("add", *arguments)
    assert [chat_model.name for chat_model in ChatModel.objects.all()] == ["parrot"]


def test_removing_wants_a_yes_and_keeps_the_conversations(models, alice):
    old = make_chat_model("old")
    talk = Conversation.objects.create(owner=alice, chat_model=old)
    with pytest.raises(CommandError, match="--yes"):
        models("remove", "old")
    assert "1 conversation stays" in models("remove", "old", "--yes")
    talk.refresh_from_db()
    assert talk.chat_model is None
    assert not ChatModel.objects.exists()


@pytest.mark.parametrize(("said", "left"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_it_asks_back_at_a_terminal(models, monkeypatch, said, left):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    make_chat_model("old")
    monkeypatch.setattr("sys.stdin", Terminal(said))
    if left:
        with pytest.raises(CommandError, match="Nothing was removed"):
            models("remove", "old")
    else:
        models("remove", "old")
    assert ChatModel.objects.count() == left


def test_it_does_not_remove_what_a_worker_would_bring_back(models, parrot):
    with pytest.raises(CommandError, match="served by in-process"):
        models("remove", "parrot", "--yes")
    assert ChatModel.objects.exists()


def test_it_works_without_a_broker(models, parrot, settings, tmp_path, capsys):
    settings.WORKERS_CLIENT = "workers.broker.BrokerClient"
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    assert "unknown" in models("list")


def test_a_verb_is_needed(models):
    with pytest.raises(CommandError, match="required"):
        models()
