from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.factories import make_chat_model
from workers import lifecycle
from workers.engine_settings.transformers import TransformersOptions
from workers.engines.base import EngineError
from workers.engines.registry import EngineSpec


@pytest.fixture
def started(monkeypatch):
    """What the command would start, instead of starting it."""
    calls = []
    monkeypatch.setattr(
        lifecycle, "run_worker", lambda specs, *, name, idle_seconds: calls.append((list(specs), name))
    )
    return calls


def worker(*arguments):
    call_command("worker", *arguments, stdout=StringIO(), stderr=StringIO())


def test_a_checkpoint_needs_no_catalog(started):
    worker("--model", "mine", "--checkpoint", "/m.gguf", "--slots", "3", "--context", "999", "--threads", "2")
    assert started == [
        ([EngineSpec("mine", "llama_cpp", "/m.gguf", slots=3, context_length=999, threads=2)], "")
    ]


def test_a_scripted_model_needs_neither_catalog_nor_checkpoint(started):
    worker("--model", "demo", "--engine", "scripted", "--name", "one")
    assert started == [([EngineSpec("demo", "scripted", "")], "one")]


def test_the_catalog_says_what_to_load(started, db):
    make_chat_model("parrot", checkpoint="rate=5", slots=7, context_length=100)
    worker("--model", "parrot")
    assert started == [([EngineSpec("parrot", "scripted", "rate=5", slots=7, context_length=100)], "")]


def test_the_prompt_format_is_the_catalogs_or_the_command_lines(started, db):
    make_chat_model("parrot", template="alpaca")
    worker("--model", "parrot")
    worker("--model", "parrot", "--template", "vicuna_v1.1")
    assert [specs[0].template for specs, _ in started] == ["alpaca", "vicuna_v1.1"]


def test_the_command_line_says_it_louder(started, db):
    make_chat_model("parrot", checkpoint="rate=5", slots=7)
    worker("--model", "parrot", "--slots", "2", "--gpu-layers", "0")
    assert started == [([EngineSpec("parrot", "scripted", "rate=5", slots=2, gpu_layers=0)], "")]


def test_a_server_to_start_goes_to_the_upstream_engine(started):
    command = "vllm serve m --port {port}"
    worker("--model", "far", "--engine", "upstream", "--checkpoint", "vllm:m", "--launch", command)
    assert started == [([EngineSpec("far", "upstream", "vllm:m", launch=command)], "")]
    with pytest.raises(CommandError, match="--launch goes with"):
        worker("--model", "near", "--engine", "scripted", "--launch", command)


def test_it_hosts_several(started, db):
    for name in ("a", "b"):
        make_chat_model(name)
    worker("--model", "a", "--model", "b")
    assert [spec.name for spec in started[0][0]] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--model", "a", "--checkpoint", "/m.gguf", "--slots", "40000"], "--slots"),
        (["--model", "nobody"], "nobody"),
        (["--model", "two words", "--checkpoint", "/m.gguf"], "two words"),
        (["--model", "", "--checkpoint", "/m.gguf"], "--model"),
        (["--model", "a", "--model", "b", "--checkpoint", "/m.gguf"], "--checkpoint"),
        (["--model", "a", "--model", "a"], "a"),
        (["--model", "a", "--engine", "magic"], "--engine"),
        (["--model", "a", "--checkpoint", "/m.gguf", "--slots", "0"], "--slots"),
        (["--model", "a", "--checkpoint", "/m.gguf", "--slots", "many"], "--slots"),
        (["--model", "a", "--checkpoint", "/m.gguf", "--context", "-5"], "--context"),
        (["--model", "a", "--checkpoint", "/m.gguf", "--threads", "-1"], "--threads"),
        (["--model", "a", "--checkpoint", "/m.gguf", "--gpu-layers", "-2"], "--gpu-layers"),
    ],
)
def test_it_says_what_is_wrong(started, db, arguments, named):
    with pytest.raises(CommandError, match=named):
        worker(*arguments)
    assert started == []


@pytest.mark.parametrize(
    ("checkpoint", "engine"),
    [("/m/folder", "transformers"), ("openai:gpt-5-mini", "upstream"), ("/m/x.gguf", "llama_cpp")],
)
def test_the_engine_is_what_the_checkpoint_looks_like(started, checkpoint, engine):
    worker("--model", "mine", "--checkpoint", checkpoint)
    assert started[0][0][0].engine == engine


def test_an_engine_that_cannot_be_loaded_is_one_sentence(monkeypatch):
    def refuse(specs, **options):
        raise EngineError("/m.gguf does not exist. Give the path of a GGUF file.")

    monkeypatch.setattr(lifecycle, "run_worker", refuse)
    with pytest.raises(CommandError, match="does not exist"):
        worker("--model", "mine", "--checkpoint", "/m.gguf")


def test_weights_that_are_not_there_end_the_command(tmp_path):
    with pytest.raises(CommandError, match=r"gone\.gguf does not exist"):
        worker("--model", "mine", "--checkpoint", str(tmp_path / "gone.gguf"))


def test_a_machine_without_a_database_is_told_what_to_do(started, monkeypatch):
    from django.db import OperationalError

    from workers.selectors import catalog

    def broken(*, name):
        raise OperationalError("no such table: workers_chatmodel")

    monkeypatch.setattr(catalog, "find", broken)
    with pytest.raises(CommandError, match="--checkpoint"):
        worker("--model", "parrot")


def test_the_transformers_engine_is_told_how_to_load(started):
    worker(
        *("--model", "mine", "--engine", "transformers", "--checkpoint", "org/mine", "--device", "cpu"),
        *("--dtype", "bfloat16", "--load-8bit", "--revision", "v2", "--adapter", "mine-lora=/srv/lora"),
    )
    options = TransformersOptions(
        device="cpu",
        dtype="bfloat16",
        load_8bit=True,
        revision="v2",
        adapters=(("mine-lora", "/srv/lora"),),
    )
    assert started == [([EngineSpec("mine", "transformers", "org/mine", transformers=options)], "")]


def test_the_catalog_knows_how_to_load_too(started, db):
    options = {"load_8bit": True, "dtype": "float32"}
    make_chat_model("mine", engine="transformers", checkpoint="org/mine", engine_options=options)
    worker("--model", "mine", "--dtype", "bfloat16")
    assert started[0][0][0].transformers == TransformersOptions(dtype="bfloat16", load_8bit=True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--engine", "transformers", "--num-gpus", "0"), "num-gpus must be at least 1"),
        (("--engine", "transformers", "--load-8bit", "--load-4bit"), "exclude each other"),
        (("--engine", "transformers", "--adapter", "nowhere"), "write NAME=PLACE"),
        (("--engine", "transformers", "--adapter", "bad name=/srv/x"), "letters, digits"),
        (("--load-8bit",), "--load-8bit goes with --engine transformers"),
        (
            ("--engine", "scripted", "--adapter", "a=b"),
            "--adapter goes with --engine llama_cpp or transformers",
        ),
        (("--engine", "transformers", "--lora", "a.gguf"), "--lora goes with --engine llama_cpp"),
        (("--lora", "a.gguf:nan"), "must be a finite number"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(started, arguments, named):
    with pytest.raises(CommandError, match=named):
        worker("--model", "mine", "--checkpoint", "/m.gguf", *arguments)
    assert started == []


def test_bad_options_of_the_catalog_are_named(started, db):
    make_chat_model("mine", engine="transformers", checkpoint="org/mine", engine_options={"eight_bits": True})
    with pytest.raises(CommandError, match="'eight_bits' is not known"):
        worker("--model", "mine")


def test_one_name_for_two_is_refused_before_anything_is_loaded():
    options = TransformersOptions(adapters=(("other", "/srv/lora"),))
    with pytest.raises(EngineError, match="other would be served twice"):
        lifecycle._load(
            [
                EngineSpec("mine", "transformers", "/m", transformers=options),
                EngineSpec("other", "scripted", ""),
            ]
        )


@pytest.fixture
def idle(monkeypatch):
    """The seconds after which a started worker lets chat models sleep."""
    given = []
    monkeypatch.setattr(
        lifecycle, "run_worker", lambda specs, *, name, idle_seconds: given.append(idle_seconds)
    )
    return given


def test_a_worker_may_wait_for_orders(started):
    worker("--name", "one")
    assert started == [([], "one")]


def test_what_a_chat_model_needs_goes_with_one(started):
    with pytest.raises(CommandError, match="--checkpoint goes with --model NAME"):
        worker("--checkpoint", "/m.gguf")


def test_the_setting_says_when_chat_models_sleep_and_the_option_says_it_louder(idle, settings):
    worker()
    settings.IDLE_UNLOAD_MINUTES = 5
    worker()
    worker("--idle-unload", "0.5")
    worker("--idle-unload", "0")
    assert idle == [0, 300, 30, 0]


@pytest.mark.parametrize("minutes", ["-1", "nan", "inf"])
def test_minutes_that_are_none_are_refused(idle, minutes):
    with pytest.raises(CommandError, match="--idle-unload must be a number of minutes of at least 0"):
        worker(f"--idle-unload={minutes}")
