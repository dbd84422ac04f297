import pytest

from workers.engine_settings.transformers import TransformersOptions
from workers.engines.base import EngineError


def test_the_defaults_are_good():
    assert TransformersOptions().checked() == TransformersOptions()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"device": "tpu"}, "device 'tpu'"),
        ({"dtype": "int3"}, "dtype 'int3'"),
        ({"num_gpus": 0}, "num-gpus"),
        ({"max_gpu_memory": "much"}, "20GiB"),
        ({"load_8bit": True, "load_4bit": True}, "exclude each other"),
        ({"device": "cpu", "num_gpus": 2}, "need a GPU"),
        ({"device": "cpu", "cpu_offload": True}, "need a GPU"),
        ({"adapters": (("a", "x"), ("a", "y"))}, "same chat model name"),
    ],
)
def test_a_bad_value_is_named_with_a_remedy(values, named):
    with pytest.raises(EngineError, match=named):
        TransformersOptions(**values).checked()


def test_it_reads_what_the_catalog_has():
    options = TransformersOptions.read({"load_8bit": True, "num_gpus": 2, "adapters": {"lora": "/srv/lora"}})
    assert options == TransformersOptions(load_8bit=True, num_gpus=2, adapters=(("lora", "/srv/lora"),))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"load_9bit": True}, "'load_9bit' is not known"),
        ({"load_8bit": "yes"}, "true or false"),
        ({"num_gpus": True}, "whole number"),
        ({"adapters": ["a"]}, "mapping"),
    ],
)
def test_what_the_catalog_should_not_have_is_refused(given, named):
    with pytest.raises(EngineError, match=named):
        TransformersOptions.read(given)
