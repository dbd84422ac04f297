"""What a checkpoint says about a server."""

import pytest

from workers.engine_settings.presets import PRESETS, Quirk
from workers.engine_settings.upstream import read_address
from workers.engines.base import EngineError
from workers.protocol import Ability


def test_a_preset_brings_address_key_and_abilities():
    upstream = read_address("openai:gpt-5-mini")

    assert (upstream.base_url, upstream.model) == ("https://api.openai.com/v1", "gpt-5-mini")
    assert upstream.key_variable == "OPENAI_API_KEY"
    assert Ability.JSON_SCHEMA in upstream.abilities


def test_a_model_may_have_slashes_and_colons_in_its_name():
    assert read_address("vllm:Qwen/Qwen3-8B").model == "Qwen/Qwen3-8B"
    assert read_address("ollama:llama3.2:1b").model == "llama3.2:1b"


def test_any_address_will_do():
    upstream = read_address("https://gpu.example:8443/v1/?context=4096#my-model")

    assert (upstream.base_url, upstream.model) == ("https://gpu.example:8443/v1", "my-model")
    assert (upstream.context_length, upstream.key_variable) == (4096, "")
    assert upstream.abilities == (Ability.CHAT,)


def test_options_add_and_take_away():
    upstream = read_address("vllm:m?abilities=vision,-logprobs&quirks=no_seed,-continues&context=32768")

    assert Ability.VISION in upstream.abilities
    assert Ability.LOGPROBS not in upstream.abilities
    assert Quirk.NO_SEED in upstream.quirks
    assert Quirk.CONTINUES not in upstream.quirks
    assert upstream.context_length == 32768


def test_a_vendors_key_goes_to_the_vendor_alone():
    assert read_address("openai:m?base_url=https://elsewhere.example/v1").key_variable == ""
    with pytest.raises(EngineError, match="may not be sent"):
        read_address("openai:m?base_url=https://elsewhere.example/v1&key=OPENAI_API_KEY")


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "DATABASE_URL", "CHATSITE_SECRET_KEY", "AWS_SECRET"])
def test_no_other_secret_of_the_worker_can_be_named(variable):
    with pytest.raises(EngineError, match=variable):
        read_address(f"https://elsewhere.example/v1?key={variable}#m")


def test_a_key_that_is_meant_for_it_can_be_named():
    upstream = read_address("https://gpu.example/v1?key=CHATSITE_UPSTREAM_KEY_GPU#m")

    assert upstream.key_variable == "CHATSITE_UPSTREAM_KEY_GPU"


@pytest.mark.parametrize(
    ("checkpoint", "named"),
    [
        ("", "PRESET:MODEL"),
        ("vllm", "PRESET:MODEL"),
        ("vllm:", "names no model"),
        ("nobody:m", "nobody"),
        ("azure:m", "base_url"),
        ("http://host/v1", "names no model"),
        ("vllm:m?colour=red", "colour"),
        ("vllm:m?context=many", "context"),
        ("vllm:m?abilities=flying", "flying"),
        ("vllm:m?quirks=odd", "odd"),
        ("vllm:m?base_url=ftp://host", "base_url"),
        ("https://user:word@host/v1#m", "password"),
    ],
)
def test_what_is_wrong_is_named(checkpoint, named):
    with pytest.raises(EngineError, match=named):
        read_address(checkpoint)


def test_a_launched_server_tells_its_address_later():
    assert read_address("azure:m", launched=True).base_url == ""


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_can_be_read(name):
    upstream = read_address(f"{name}:some-model?base_url=https://host.example/v1")

    assert upstream.model == "some-model"
    assert Ability.CHAT in upstream.abilities


def test_vendors_are_spoken_to_in_secret():
    assert all(
        preset.base_url.startswith("https://") or "127.0.0.1" in preset.base_url
        for preset in PRESETS.values()
        if preset.base_url
    )
