"""Fine-tunes over one base, trained here, against PEFT's own way to run them."""

from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from workers.engines.transformers.engine import TransformersEngine

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[hf]'")
peft = pytest.importorskip("peft", reason="peft is not installed: pip install '.[hf]'")

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from tests.workers.engines.conftest import SLOTS, Asked  # noqa: E402
from tests.workers.engines.weights import CHAT, tiny_decoder, trained_adapter  # noqa: E402
from tests.workers.support import at_once  # noqa: E402
from workers.engine_settings.transformers import TransformersOptions  # noqa: E402
from workers.engines.base import EngineError  # noqa: E402
from workers.engines.registry import EngineSpec, base_of, load_all  # noqa: E402

QUESTION, TOKENS = "Who are you?", 12


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The base, and two adapters by the names they are served by."""
    base = tiny_decoder(tmp_path_factory.mktemp("base"), template=CHAT)
    adapters = {
        name: trained_adapter(base, tmp_path_factory.mktemp("adapter"), say)
        for name, say in (("acme/parrot-1.0", "I am a parrot."), ("pirate", "Arr! Arr! Arr!"))
    }
    return base, adapters


def spec(base, adapters, **options):
    pairs = tuple((name, str(place)) for name, place in adapters.items())
    return EngineSpec(
        "base", "transformers", str(base), slots=SLOTS, context_length=256, threads=1,
        transformers=TransformersOptions(adapters=pairs, **options),
    )  # fmt: skip


@pytest.fixture(scope="module", params=["slots", "lockstep"])
def engines(request, places):
    options = {"attn_implementation": "sdpa"} if request.param == "lockstep" else {}
    loaded = load_all(spec(*places, **options))
    assert cast("TransformersEngine", loaded["base"]).lockstep is (request.param == "lockstep")
    yield {name: Asked(engine) for name, engine in loaded.items()}
    for engine in reversed(loaded.values()):
        engine.close()


@pytest.fixture(scope="module")
def reference(places):
    """What the base and each adapter say, by PEFT, one at a time."""
    base, adapters = places
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": QUESTION}], add_generation_prompt=True,
                                        return_tensors="pt", return_dict=True).input_ids  # fmt: skip

    def say(model):
        made = model.generate(input_ids=ids, max_new_tokens=TOKENS, do_sample=False)[0, ids.shape[1] :]
        return tokenizer.decode(made, skip_special_tokens=True)

    said = {"base": say(AutoModelForCausalLM.from_pretrained(base))}
    for name, place in adapters.items():
        said[name] = say(peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), place))
    assert len(set(said.values())) == 3
    return said


def test_each_is_a_chat_model_of_its_own(engines):
    assert list(engines) == ["base", "acme/parrot-1.0", "pirate"]
    for name, asked in engines.items():
        assert asked.engine.hosted.name == name
        assert asked.engine.hosted.slots == SLOTS
    assert engines["pirate"].engine.hosted.weights_bytes == 0, "the base's, counted once"


def test_each_says_what_peft_says(engines, reference):
    for name, asked in engines.items():
        assert asked.ask(QUESTION, temperature=0, seed=1, max_tokens=TOKENS).text == reference[name]


def test_they_are_mixed_in_one_batch_without_hearing_each_other(engines, reference):
    names = list(engines)

    def ask(number):
        name = names[number % 3]
        return name, engines[name].ask(QUESTION, temperature=0, seed=1, max_tokens=TOKENS).text

    for name, text in at_once(2 * SLOTS, ask):
        assert text == reference[name], name


def test_they_do_not_go_on_with_each_others_memory(engines, reference):
    for name in ("base", "pirate", "acme/parrot-1.0", "base"):
        assert engines[name].ask(QUESTION, temperature=0, max_tokens=TOKENS).text == reference[name]


def test_eight_bits_keep_the_adapters(places, reference):
    loaded = load_all(spec(*places, load_8bit=True))
    texts = {
        name: Asked(engine).ask(QUESTION, temperature=0, max_tokens=TOKENS).text
        for name, engine in loaded.items()
    }
    assert len(set(texts.values())) == 3
    loaded["base"].close()


def test_one_for_another_base_is_refused(places, tmp_path):
    other = tiny_decoder(tmp_path / "other", template=CHAT, hidden_size=64)
    with pytest.raises(EngineError, match=r"adapter pirate: .* cannot be put over this base"):
        load_all(spec(other, {"pirate": places[1]["pirate"]}))


def test_one_that_is_not_there_is_refused(places, tmp_path):
    with pytest.raises(EngineError, match="adapter ghost"):
        load_all(spec(places[0], {"ghost": tmp_path / "nothing"}))


def test_one_that_cannot_share_is_refused(places, tmp_path):
    model = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(places[0]),
        peft.LoraConfig(r=2, target_modules=["q_proj"], use_dora=True),
    )
    model.save_pretrained(tmp_path)
    with pytest.raises(EngineError, match=r"DoRA.*Merge it"):
        load_all(spec(places[0], {"dora": tmp_path}))


class TestWhileItRuns:
    """Adapters that come and go over a base that answers."""

    @pytest.fixture(params=["slots", "lockstep"])
    def base(self, request, places):
        options = {"attn_implementation": "sdpa"} if request.param == "lockstep" else {}
        engine = cast("TransformersEngine", load_all(spec(places[0], {}, **options))["base"])
        yield engine
        engine.close()

    def say(self, engine):
        return Asked(engine).ask(QUESTION, temperature=0, max_tokens=TOKENS).text

    def test_each_says_what_peft_says_and_the_base_stays_as_it_was(self, base, places, reference):
        added = {name: base.adapt(name, str(place)) for name, place in places[1].items()}
        for name, engine in added.items():
            assert engine.hosted.name == name
            assert self.say(engine) == reference[name]
        assert self.say(base) == reference["base"]

    def test_another_under_the_same_name_is_another(self, base, places, reference):
        for wanted in places[1]:
            engine = base.adapt("mine", str(places[1][wanted]))
            assert self.say(engine) == reference[wanted]
            engine.close()
        assert self.say(base) == reference["base"]

    def test_what_answers_is_not_disturbed(self, base, places, reference):
        def act(number):
            if number == 0:
                return [self.say(base.adapt(name, str(place))) for name, place in places[1].items()]
            return self.say(base)

        added, *said = at_once(SLOTS, act)
        assert added == [reference[name] for name in places[1]]
        assert set(said) == {reference["base"]}

    def test_one_that_does_not_fit_changes_nothing(self, base, places, tmp_path, reference):
        other = trained_adapter(
            tiny_decoder(tmp_path / "other", template=CHAT, hidden_size=64), tmp_path, "No."
        )
        with pytest.raises(EngineError, match=r"adapter other: .* cannot be put over this base"):
            base.adapt("other", str(other))
        with pytest.raises(EngineError, match="adapter ghost"):
            base.adapt("ghost", str(tmp_path / "nothing"))
        assert self.say(base) == reference["base"]


def test_a_chat_model_that_is_an_adapter_comes_without_its_base(places, reference):
    options = TransformersOptions(adapter=str(places[1]["pirate"]))
    loaded = load_all(
        EngineSpec("mine", "transformers", str(places[0]), slots=2, context_length=256, transformers=options)
    )
    assert list(loaded) == ["mine"]
    assert Asked(loaded["mine"]).ask(QUESTION, temperature=0, max_tokens=TOKENS).text == reference["pirate"]
    base_of(loaded["mine"]).close()
