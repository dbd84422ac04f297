"""Checkpoints of every kind, and what is said about those that cannot be loaded."""

import json
import threading

import psutil
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[hf]'")

from types import SimpleNamespace  # noqa: E402

from tests.workers.engines.conftest import Asked, by_transformers  # noqa: E402
from tests.workers.engines.weights import CHAT, tiny_decoder  # noqa: E402
from workers.engine_settings.transformers import TransformersOptions  # noqa: E402
from workers.engines.base import EngineError  # noqa: E402
from workers.engines.registry import EngineSpec, load  # noqa: E402
from workers.engines.transformers import loading  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    return tiny_decoder(tmp_path, template=CHAT)


def refused(checkpoint, **options):
    with pytest.raises(EngineError) as caught:
        by_transformers(checkpoint, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def change(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_missing_folder_is_named(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.gguf")


def test_a_folder_without_weights_is_named(tmp_path):
    assert "config.json" in refused(tmp_path)


def test_a_folder_whose_weights_are_gone_is_named(folder):
    (folder / "model.safetensors").unlink()
    assert str(folder) in refused(folder)


def test_damaged_weights_are_named(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    assert str(folder) in refused(folder)


def test_an_architecture_that_nobody_knows_is_named(folder):
    change(folder, model_type="gpt9", architectures=["GPT9"])
    assert "architecture" in refused(folder)


def test_a_file_that_is_no_gguf_is_named(folder):
    assert "not a GGUF" in refused(folder / "config.json")


@pytest.mark.parametrize("template", ["{% for", "{{ nothing.at.all }}", "always the same"])
def test_a_broken_template_is_named(folder, template):
    (folder / "chat_template.jinja").write_text(template)
    assert "template" in refused(folder)


def test_too_little_memory_is_said_before_anything_is_loaded(folder, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000))
    assert "weights take" in refused(folder)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000_000))
    assert "--slots or --context" in refused(folder)


def test_a_device_that_is_not_there_is_named(folder):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "device cuda" in refused(folder, device="cuda")


def test_code_beside_the_weights_is_not_run(folder, monkeypatch):
    (folder / "modeling_own.py").write_text("raise SystemExit('it was run')")
    change(
        folder,
        model_type="own",
        auto_map={"AutoConfig": "modeling_own.Own", "AutoModelForCausalLM": "modeling_own.M"},
    )
    assert "--trust-remote-code" in refused(folder)


def test_a_base_model_without_a_template_gets_a_plain_one(tmp_path):
    engine = by_transformers(tiny_decoder(tmp_path))
    assert engine.prompts.format is not None
    assert engine.prompts.format.name == "completion"
    assert "\nQuestion:" in engine.prompts.stops
    assert Asked(engine).ask("Hello", max_tokens=3).usage.prompt_tokens == len("Question: Hello\nAnswer:")
    engine.close()


def test_the_checkpoints_own_way_to_sample_is_the_default(folder):
    (folder / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "temperature": 0.3, "top_k": 7})
    )
    engine = by_transformers(folder)
    from workers.protocol import Sampling

    settings = engine._settings(Sampling())
    assert (settings.temperature, settings.top_k) == (0.3, 7)
    assert engine._settings(Sampling(temperature=1.5)).temperature == 1.5
    engine.close()


def test_half_precision_says_the_same_words(folder):
    whole, half = by_transformers(folder), by_transformers(folder, dtype="bfloat16")
    assert half.hosted.weights_bytes < 0.6 * whole.hosted.weights_bytes
    answers = [Asked(engine).ask("Hello", temperature=0, max_tokens=3).reason for engine in (whole, half)]
    assert answers == ["length", "length"]
    whole.close()
    half.close()


def test_four_bits_are_loaded_by_bitsandbytes(tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install '.[hf]'")
    folder = tiny_decoder(tmp_path, template=CHAT, hidden_size=64, intermediate_size=128)
    engine = by_transformers(folder, load_4bit=True)
    assert any("4bit" in type(module).__name__ for module in engine.model.modules())
    assert Asked(engine).ask("Hello", temperature=0, max_tokens=5).reason == "length"
    engine.close()


def test_weights_that_cannot_be_run_are_told_from_those_that_can(tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install '.[hf]'")
    # Four bits come in blocks of 64, and this one's layers have 32 inputs.
    assert "cannot be run" in refused(tiny_decoder(tmp_path, template=CHAT), load_4bit=True)


def test_the_thread_that_loads_ends_and_takes_its_helpers_along(folder, monkeypatch):
    loaders = []
    as_ever = loading.load

    def load_and_note(*arguments, **options):
        loaders.append(threading.current_thread())
        return as_ever(*arguments, **options)

    monkeypatch.setattr(loading, "load", load_and_note)
    engine = by_transformers(folder)
    engine.close()
    assert [thread.is_alive() for thread in loaders] == [False]


def test_a_gguf_file_is_read(tmp_path):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install '.[hf]'")
    from tests.workers.engines.weights import tiny_gguf

    file = tiny_gguf(tmp_path / "tiny.gguf", gguf)
    engine = load(EngineSpec("tiny", "transformers", str(file), slots=2, context_length=64, threads=1))
    assert Asked(engine).ask("Hello", temperature=0, max_tokens=5).reason in {"length", "stop"}
    engine.close()


def config(**values):
    return SimpleNamespace(**values)


def test_the_memory_of_the_slots_is_reckoned_from_the_architecture():
    smollm2 = config(num_hidden_layers=30, num_key_value_heads=3, num_attention_heads=9, head_dim=64)
    assert loading.cache_bytes(smollm2, torch.float32, 8192) == 2 * 30 * 3 * 64 * 4 * 8192
    assert loading.cache_bytes(config(), torch.float32, 8192) == 0


def test_the_context_is_what_the_checkpoint_says():
    assert loading.context_of(config(max_position_embeddings=4096), seq2seq=False) == 4096
    assert loading.context_of(config(n_positions=512), seq2seq=True) == 512
    assert loading.context_of(config(), seq2seq=False) == 2048


class TestPlacing:
    def test_one_gpu_gets_all(self):
        placed = loading.placing(TransformersOptions(), "cuda", torch.float16)
        assert placed == {"dtype": torch.float16, "device_map": {"": "cuda:0"}}

    def test_several_gpus_share_up_to_what_is_said(self):
        options = TransformersOptions(num_gpus=2, max_gpu_memory="20 GiB", attn_implementation="eager")
        placed = loading.placing(options, "cuda", torch.float16)
        assert placed["device_map"] == "auto"
        assert placed["max_memory"] == {0: "20GiB", 1: "20GiB", "cpu": 0}
        assert placed["attn_implementation"] == "eager"

    def test_what_does_not_fit_may_stay_in_the_machines_memory(self):
        placed = loading.placing(
            TransformersOptions(max_gpu_memory="1GiB", cpu_offload=True, load_8bit=True),
            "cuda",
            torch.float16,
        )
        assert placed["max_memory"]["cpu"] > 0
        assert placed["quantization_config"].load_in_8bit
        assert placed["quantization_config"].llm_int8_enable_fp32_cpu_offload

    def test_a_checkpoint_with_bits_of_its_own_keeps_them(self):
        placed = loading.placing(TransformersOptions(load_4bit=True), "cuda", torch.float16, quantised=True)
        assert "quantization_config" not in placed

    def test_eight_bits_on_a_cpu_are_not_left_to_bitsandbytes(self):
        placed = loading.placing(TransformersOptions(load_8bit=True), "cpu", torch.float32)
        assert placed == {"dtype": torch.float32, "device_map": "cpu"}


def test_the_type_of_the_weights_suits_the_device(monkeypatch):
    half = config(dtype=torch.bfloat16)
    assert loading.choose_dtype("float32", half, "cuda") == torch.float32
    assert loading.choose_dtype("auto", half, "cuda") == torch.bfloat16
    assert loading.choose_dtype("auto", config(dtype="float16"), "cuda") == torch.float16
    assert loading.choose_dtype("auto", config(), "cpu") == torch.float32
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False, raising=False)
    assert loading.choose_dtype("auto", half, "cpu") == torch.float32
