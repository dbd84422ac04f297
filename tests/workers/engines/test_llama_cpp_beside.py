"""What goes beside a GGUF file's weights: LoRA adapters, a projector for images; and expressions, and gaps."""

import base64
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.engines.conftest import Asked
from tests.workers.support import make_request
from workers.engine_settings import LlamaCppOptions
from workers.engine_settings.llama_cpp import Lora
from workers.engines import infilling, llguidance_language
from workers.engines.base import EngineError, RefusedError, StopSignal, run
from workers.engines.infilling import Gap
from workers.engines.llama_cpp import LlamaCppEngine
from workers.engines.llama_cpp_loading import check_beside
from workers.engines.llama_cpp_wire import Wish, message_object, payload
from workers.engines.registry import EngineSpec, base_of, load_all, names_of, without
from workers.protocol import Ability, ChatMessage, Constraint, Failed

gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install '.[hf]'")
QUESTION = "Name three birds."


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    from tests.workers.engines.gguf_beside import write_lora, write_projector

    folder = tmp_path_factory.mktemp("beside")
    return {
        "zero": write_lora(folder / "zero.gguf", strength=0.0),
        "loud": write_lora(folder / "loud.gguf", strength=0.05),
        "other": write_lora(folder / "other.gguf", strength=1.0, architecture="qwen2"),
        "wide": write_lora(folder / "wide.gguf", strength=1.0, hidden=640),
        "eyes": write_projector(folder / "mmproj.gguf"),
    }


@pytest.fixture(scope="module")
def engines(smollm2, files) -> Iterator[dict[str, Asked]]:
    """One copy of the weights: plain, with two adapters, and with eyes."""
    options = LlamaCppOptions.read(
        {
            "mmproj": str(files["eyes"]),
            "adapters": {
                "zero": str(files["zero"]),
                "loud": str(files["loud"]),
                "half": f"{files['loud']}:0.5",
            },
        }
    )
    spec = EngineSpec(
        "base", "llama_cpp", str(smollm2), slots=4, context_length=2048, threads=1, llama_cpp=options
    )
    found = {name: Asked(engine) for name, engine in load_all(spec).items()}
    yield found
    found["base"].engine.close()


def picture(red: int, green: int, blue: int, side: int = 32) -> str:
    """A data URL of a PNG in one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\0" + bytes((red, green, blue)) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


class TestAdapters:
    def test_each_request_is_answered_with_its_own(self, engines, llama_cpp):
        # Its first words are far more likely than any others: sums differ a little between two loads of the weights.
        question, words = "What is the capital of France?", 6
        said = {
            name: asked.ask(question, max_tokens=words, temperature=0.0).text
            for name, asked in engines.items()
        }
        plain = llama_cpp.ask(question, max_tokens=words, temperature=0.0).text
        assert said["base"] == said["zero"] == plain
        assert said["loud"] != plain
        assert said["half"] != said["loud"]
        assert engines["base"].ask(question, max_tokens=words, temperature=0.0).text == plain  # and off again

    def test_they_are_chat_models_of_their_own_without_embeddings(self, engines):
        assert engines["loud"].engine.hosted.name == "loud"
        assert engines["base"].engine.hosted.can(Ability.EMBEDDINGS)
        assert not engines["loud"].engine.hosted.can(Ability.EMBEDDINGS)

    def test_a_request_names_the_scale_of_every_adapter(self):
        assert payload(Wish(make_request("x"), loras=(1.0, 0.0)))["lora"] == [
            {"id": 0, "scale": 1.0},
            {"id": 1, "scale": 0.0},
        ]
        assert "lora" not in payload(Wish(make_request("x")))

    def test_one_that_is_always_added_is_below_the_others(self):
        engine = object.__new__(LlamaCppEngine)
        engine._options = LlamaCppOptions.read(
            {"lora": ["/a.gguf:0.5"], "adapters": {"poet": "/b.gguf", "cook": "/c.gguf:2"}}
        )
        assert engine._loras("") == (0.5, 0.0, 0.0)
        assert engine._loras("cook") == (0.5, 0.0, 2.0)

    @pytest.mark.parametrize(
        ("which", "named"),
        [
            ("missing", "does not exist"),
            ("weights", "is not a LoRA adapter"),
            ("eyes", "is not a LoRA adapter"),
            ("other", "is an adapter for qwen2, and the weights are llama"),
            ("wide", "does not fit to theirs"),
        ],
    )
    def test_one_that_cannot_belong_to_the_weights_is_refused_by_its_name(self, smollm2, files, which, named):
        path = {"missing": Path("/nowhere/lora.gguf"), "weights": smollm2, **files}[which]
        with pytest.raises(EngineError, match=f"lora: {path}.*{named}"):
            check_beside(smollm2, LlamaCppOptions(lora=(Lora(str(path)),)))

    def test_one_that_is_cut_off_ends_the_start_with_a_sentence(self, smollm2, files, tmp_path):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(files["loud"].read_bytes()[:3000])
        with pytest.raises(EngineError, match=r"goes with .*cut\.gguf, which may be damaged"):
            LlamaCppEngine(
                "x",
                smollm2,
                slots=1,
                context_length=256,
                threads=1,
                options=LlamaCppOptions(lora=(Lora(str(cut)),)),
            )


class TestImages:
    def test_they_change_what_is_said(self, engines):
        def about(*images: str) -> str:
            message = ChatMessage("user", "What is this?", images=images)
            return str(engines["base"].ask(messages=(message,), max_tokens=12, temperature=0.0).text)

        red, blue = about(picture(255, 0, 0)), about(picture(0, 0, 255))
        assert red
        assert red != blue
        assert about(picture(255, 0, 0)) == red

    def test_they_count_as_tokens_of_the_prompt(self, engines):
        alone = engines["base"].ask(QUESTION, max_tokens=1).usage.prompt_tokens
        message = ChatMessage("user", QUESTION, images=(picture(9, 9, 9),))
        seen = engines["base"].ask(messages=(message,), max_tokens=1).usage.prompt_tokens
        assert seen - alone >= 16  # a square of 32 in patches of 8

    def test_what_is_no_image_is_refused_in_a_sentence(self, engines):
        message = ChatMessage("user", QUESTION, images=("data:image/png;base64,AAAA",))
        heard = engines["base"].ask(messages=(message,))
        assert isinstance(heard.last, Failed)
        assert (heard.last.param, heard.last.message) == (
            "messages",
            "llama.cpp could not read an image of the request.",
        )

    def test_only_a_model_with_a_projector_says_that_it_sees(self, engines, llama_cpp):
        assert engines["base"].engine.hosted.can(Ability.VISION)
        assert not llama_cpp.engine.hosted.can(Ability.VISION)

    def test_they_stand_before_the_words_on_the_wire(self):
        url = picture(1, 2, 3)
        assert message_object(ChatMessage("user", "What?", images=(url,)))["content"] == [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": "What?"},
        ]

    @pytest.mark.parametrize(
        ("which", "named"), [("missing", "does not exist"), ("weights", "is no projector"), ("text", "GGUF")]
    )
    def test_a_projector_that_is_none_is_refused_by_its_name(self, smollm2, tmp_path, which, named):
        text = tmp_path / "text.gguf"
        text.write_text("hello")
        path = {"missing": Path("/nowhere/mmproj.gguf"), "weights": smollm2, "text": text}[which]
        with pytest.raises(EngineError, match=f"mmproj: {path}.*{named}"):
            check_beside(smollm2, LlamaCppOptions(mmproj=str(path)))

    def test_a_projector_that_is_cut_off_ends_the_start_with_a_sentence(self, smollm2, files, tmp_path):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(files["eyes"].read_bytes()[:8000])
        with pytest.raises(EngineError, match=r"goes with .*cut\.gguf, which may be damaged"):
            LlamaCppEngine(
                "x",
                smollm2,
                slots=1,
                context_length=256,
                threads=1,
                options=LlamaCppOptions(mmproj=str(cut)),
            )


class TestExpressions:
    @pytest.mark.parametrize(
        ("pattern", "likes"), [(r"[0-9]{3}-[a-c]{2}", r"\d{3}-[abc]{2}"), (r"(yes|no)/\/", "(yes|no)//")]
    )
    def test_an_answer_is_held_to_one(self, llama_cpp, pattern, likes):
        pytest.importorskip("llguidance")
        heard = llama_cpp.answer(make_request("Your answer?", constraint=Constraint("regex", pattern)))
        assert re.fullmatch(likes, heard.text)

    @pytest.mark.parametrize("pattern", ["([0-9]", "a(?=b)", "x{"])
    def test_what_cannot_be_followed_is_refused_and_not_ignored(self, llama_cpp, pattern):
        pytest.importorskip("llguidance")
        heard = llama_cpp.answer(make_request("Your answer?", constraint=Constraint("regex", pattern)))
        assert isinstance(heard.last, Failed)
        assert heard.last.param == "response_format"
        assert "regular expression cannot be read" in heard.last.message

    def test_a_grammar_in_its_language_is_read_too(self, llama_cpp):
        pytest.importorskip("llguidance")
        good = Constraint("grammar", '%llguidance {}\nstart: "a" "b"')
        assert llama_cpp.answer(make_request("x", constraint=good)).text == "ab"
        bad = Constraint("grammar", "%llguidance {}\nstart ::= x")
        assert isinstance(llama_cpp.answer(make_request("x", constraint=bad)).last, Failed)

    def test_nothing_is_offered_without_the_library(self, monkeypatch):
        monkeypatch.setattr(llguidance_language, "usable", lambda: False)
        with pytest.raises(RefusedError, match="pip install llguidance"):
            llguidance_language.of_regex("a")

    @pytest.mark.parametrize(
        ("pattern", "written"),
        [("a/b", r"a\/b"), (r"a\/b", r"a\/b"), ("\\\\/", r"\\\/"), ("a\nb", r"a\nb"), ("[/]", r"[\/]")],
    )
    def test_it_stands_between_slashes(self, pattern, written):
        assert llguidance_language.between_slashes(pattern) == written


class TestGaps:
    NAMES = ("a", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<s>")

    def test_the_tokens_are_those_that_the_file_says(self):
        said = {
            f"tokenizer.ggml.fim_{part}_token_id": number
            for part, number in (("pre", 3), ("suf", 2), ("mid", 0))
        }
        assert infilling.gap_of({"tokenizer.ggml.tokens": list(self.NAMES), **said}) == Gap(3, 2, 0, None)

    def test_or_those_with_the_known_names(self):
        metadata = {
            "tokenizer.ggml.tokens": list(self.NAMES),
            "tokenizer.ggml.add_bos_token": True,
            "tokenizer.ggml.bos_token_id": 4,
        }
        assert infilling.gap_of(metadata) == Gap(1, 2, 3, 4)

    def test_a_model_without_them_fills_none(self, llama_cpp, smollm2):
        assert infilling.gap_of({"tokenizer.ggml.tokens": ["a", "b"]}) is None
        assert infilling.tokens_of(smollm2) is None
        events = list(run(llama_cpp.engine, make_request(prompt="def f(", suffix="return x"), StopSignal()))
        assert isinstance(events[-1], Failed)
        assert events[-1].param == "suffix"

    def test_text_and_ids_stand_around_the_gap(self):
        gap = Gap(1, 2, 3, 4)
        wish = Wish(make_request(prompt="def f(", suffix="return x", prefix="a"), gap=gap)
        assert payload(wish)["prompt"] == [4, 1, "def f(", 2, "return x", 3, "a"]
        ids = Wish(make_request(prompt=(7, 8), suffix="y"), gap=gap)
        assert payload(ids)["prompt"] == [4, 1, 7, 8, 2, "y", 3]
        empty = Wish(make_request(prompt="", suffix="y"), gap=gap)
        assert payload(empty)["prompt"] == [4, 1, 2, "y", 3]

    def test_llama_cpp_fills_one(self, llama_cpp, monkeypatch):
        """With tokens that SmolLM2 was never taught it with: the way is real, its words are not."""
        engine = llama_cpp.engine
        monkeypatch.setattr(engine, "gap", Gap(3, 4, 5, None))
        request = make_request(prompt="def f(x):\n    ", suffix="\n    return x", max_tokens=6)
        answer = llama_cpp.answer(request)
        assert answer.usage.completion_tokens > 0
        spelled = engine.count_tokens("def f(x):\n    ") + engine.count_tokens("\n    return x")
        assert answer.usage.prompt_tokens == spelled + 3


class TestFamilies:
    """What a worker keeps in mind when chat models over the same weights come and go."""

    SPEC = EngineSpec(
        "base",
        "llama_cpp",
        "/b.gguf",
        llama_cpp=LlamaCppOptions.read(
            {"lora": "/l.gguf", "adapters": {"poet": "/p.gguf", "cook": "/c.gguf:2"}}
        ),
    )

    def test_an_adapter_that_goes_leaves_the_others(self):
        left = without(self.SPEC, "poet")
        assert left is not None
        assert names_of(left) == ["base", "cook"]

    def test_a_base_that_goes_leaves_its_adapters_to_the_first_of_them(self):
        left = without(self.SPEC, "base")
        assert left is not None
        assert names_of(left) == ["poet", "cook"]
        assert left.llama_cpp.adapter == Lora("/p.gguf")
        assert left.llama_cpp.lora == (Lora("/l.gguf"),)

    def test_one_that_is_an_adapter_itself_comes_without_its_base(self, smollm2, files):
        options = LlamaCppOptions.read(
            {"adapter": str(files["loud"]), "adapters": {"zero": str(files["zero"])}}
        )
        spec = EngineSpec(
            "loud", "llama_cpp", str(smollm2), slots=1, context_length=512, threads=1, llama_cpp=options
        )
        found = load_all(spec)
        try:
            assert list(found) == ["loud", "zero"]
            assert base_of(found["loud"]) is base_of(found["zero"]) is not found["loud"]
            assert Asked(found["loud"]).ask(max_tokens=2).text
        finally:
            base_of(found["loud"]).close()
