"""`manage.py models formats|explain|render|alias`: prompts, shown to the operator."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import make_chat_model
from tests.workers.formats.gguf_files import write_gguf
from workers import prompt_formats
from workers.models import Alias, ChatModel

pytestmark = pytest.mark.django_db
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": ""},
]


@pytest.fixture
def models():
    def run(*args: str) -> str:
        output = io.StringIO()
        call_command("models", *args, stdout=output)
        return output.getvalue()

    return run


@pytest.fixture
def file(tmp_path):
    def write(content) -> str:
        path = tmp_path / "messages.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


class TestFormats:
    def test_it_lists_all(self, models):
        lines = models("formats").splitlines()
        assert len(lines) == 1 + len(prompt_formats.names())
        (vicuna,) = (line for line in lines if line.startswith("vicuna_v1.1 "))
        assert vicuna.split()[1:4] == ["add_colon_two", "'USER'", "'ASSISTANT'"]


class TestRender:
    def test_it_prints_the_prompt_and_nothing_else(self, models, file):
        assert models("render", "--template", "vicuna_v1.1", "--messages", file(TALK)) == (
            "Be brief. USER: 你好 ASSISTANT:"
        )

    def test_a_closed_talk_stays_closed(self, models, file):
        assert models("render", "--template", "chatml", "--messages", file(TALK[:2])) == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n你好<|im_end|>\n"
        )

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_an_empty_last_turn_is_left_open_in_any_kind_of_template(self, models, file, nothing):
        talk = [*TALK[1:2], {"role": "assistant", "content": nothing}]
        assert models("render", "--template", "chatml", "--messages", file(talk)).endswith(
            "<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_it_reads_what_fastchat_saves(self, models, file):
        saved = {
            "template_name": "vicuna_v1.1",
            "system_message": "Be brief.",
            "roles": ["USER", "ASSISTANT"],
            "messages": [
                ["USER", "an example"],
                ["ASSISTANT", "of it"],
                ["USER", "你好"],
                ["ASSISTANT", None],
            ],
            "offset": 2,
        }
        assert models("render", "--template", "vicuna_v1.1", "--messages", file(saved)) == (
            "Be brief. USER: 你好 ASSISTANT:"
        )

    def test_it_reads_pairs_by_the_formats_own_names(self, models, file):
        pairs = [["USER", "Hi"], ["assistant", "Ho"]]
        assert models("render", "--template", "vicuna_v1.1", "--messages", file(pairs)).endswith(
            "USER: Hi ASSISTANT: Ho</s>"
        )

    def test_it_reads_standard_input(self, models, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(TALK).encode())))
        assert "你好" in models("render", "--template", "alpaca", "--messages", "-")

    def test_it_takes_the_format_of_a_chat_model(self, models, file):
        make_chat_model("mine", template="alpaca")
        assert "### Instruction: 你好" in models("render", "--model", "mine", "--messages", file(TALK))

    def test_it_marks_images(self, models, file):
        parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
        text = file([{"role": "user", "content": parts}])
        prompt = models("render", "--template=llava-chatml", f"--messages={text}", "--image-marker=<image>")
        assert "user\n<image>See<|im_end|>" in prompt

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("[", "not JSON"),
            ("{}", "must be a list of messages"),
            ([{"role": "wizard", "content": "x"}], "message 1 must be"),
            ([*TALK[:2], {"role": "user", "content": 5}], "message 3 must be"),
            ([["USER"]], "message 1 must be"),
        ],
    )
    def test_it_says_what_is_wrong_with_the_file(self, models, file, content, sentence):
        with pytest.raises(CommandError, match=f"--messages: .*{sentence}"):
            models("render", "--template", "vicuna_v1.1", "--messages", file(content))

    def test_it_says_what_else_is_wrong(self, models, file):
        with pytest.raises(CommandError, match=r"did you mean vicuna_v1\.1"):
            models("render", "--template", "vicuna_v1", "--messages", file(TALK))
        with pytest.raises(CommandError, match=r"--messages: .*No such file"):
            models("render", "--template", "vicuna_v1.1", "--messages", "/nowhere.json")


class TestExplain:
    def test_it_explains_a_name(self, models):
        text = models("explain", "lmsys/vicuna-7b-v1.5")
        assert "format         vicuna_v1.1\n" in text
        assert "the name 'vicuna-7b-v1.5' fits the rule “vicuna”" in text
        assert text.endswith("USER: Two and two? ASSISTANT: Four.</s>USER: And three? ASSISTANT:\n")

    def test_the_catalogs_word_comes_first(self, models):
        make_chat_model("vicuna", template="alpaca")
        text = models("explain", "vicuna")
        assert "the catalog says so" in text
        assert "format         alpaca\n" in text
        assert "format         zephyr\n" in models("explain", "vicuna", "--template", "zephyr")

    def test_the_checkpoints_own_template_is_the_default(self, models, tmp_path):
        path = write_gguf(
            tmp_path / "vicuna.gguf",
            {
                "tokenizer.chat_template": "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}",
                "tokenizer.ggml.tokens": ["<unk>", "<s>"],
                "tokenizer.ggml.bos_token_id": 1,
            },
        )
        make_chat_model("mine", checkpoint=str(path))
        text = models("explain", "mine")
        assert "the checkpoint's own chat template" in text
        assert text.endswith("\n<s>[Two and two?][Four.][And three?]\n")

    def test_a_file_without_one_gets_its_names(self, models, tmp_path):
        text = models("explain", str(write_gguf(tmp_path / "zephyr-7b.gguf", {"general.name": "x"})))
        assert "format         zephyr\n" in text
        assert "brings none, and the name 'zephyr-7b.gguf' fits" in text

    def test_a_folder_is_read_as_transformers_writes_it(self, models, tmp_path):
        (tmp_path / "tokenizer_config.json").write_text(
            json.dumps(
                {"eos_token": {"content": "</s>"}, "chat_template": "{{ messages[0].content + eos_token }}"}
            )
        )
        assert models("explain", str(tmp_path)).endswith("\nTwo and two?</s>\n")
        (tmp_path / "chat_template.jinja").write_text("J{{ eos_token }}")
        assert models("explain", str(tmp_path)).endswith("\nJ</s>\n")

    def test_an_adapter_gets_what_its_base_gets(self, models, tmp_path):
        (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "lmsys/vicuna-7b-v1.5"}')
        assert "format         vicuna_v1.1\n" in models("explain", str(tmp_path))

    def test_a_base_model_completes(self, models):
        assert "Question: And three?\nAnswer:\n" in models("explain", "nameless")

    def test_a_broken_checkpoint_is_named(self, models, tmp_path):
        (tmp_path / "x.gguf").write_bytes(b"GGUF\x03\x00\x00\x00\xff")
        with pytest.raises(CommandError, match=r"x\.gguf: the header .* is damaged or cut off"):
            models("explain", str(tmp_path / "x.gguf"))
        (tmp_path / "tokenizer_config.json").write_text("[")
        with pytest.raises(CommandError, match=r"tokenizer_config\.json cannot be read"):
            models("explain", str(tmp_path))

    def test_it_needs_no_catalog(self, models, monkeypatch):
        from django.db import OperationalError

        def no_database(**values):
            raise OperationalError("no such table")

        monkeypatch.setattr("workers.selectors.catalog.find", no_database)
        assert "format         zephyr\n" in models("explain", "zephyr")


@pytest.mark.usefixtures("workers_client")
class TestAliases:
    def test_a_chat_model_gets_other_names(self, models):
        models("add", "tiny", "--engine=scripted", "--alias=gpt-4", "--alias=o1")
        assert "other names    gpt-4, o1" in models("show", "gpt-4")
        assert "goes by o1 too" in models("alias", "tiny", "o1")
        assert list(Alias.objects.values_list("name", flat=True)) == ["o1"]
        assert "has no other names" in models("alias", "tiny")

    def test_a_name_belongs_to_one(self, models):
        make_chat_model("tiny", engine="scripted")
        make_chat_model("other")
        models("alias", "tiny", "gpt-4")
        with pytest.raises(CommandError, match="called tiny already"):
            models("alias", "other", "tiny")
        with pytest.raises(CommandError, match="already exists"):
            models("alias", "other", "gpt-4")
        with pytest.raises(CommandError, match="NAME: gpt-4 is an alias of another chat model"):
            models("add", "gpt-4", "--engine=scripted")
        with pytest.raises(CommandError, match="ALIAS: Use letters"):
            models("alias", "other", "two words")
        assert ChatModel.objects.count() == 2

    def test_an_unknown_format_is_refused(self, models):
        with pytest.raises(CommandError, match=r"--template: .*no prompt format 'vicunna'; did you mean"):
            models("add", "tiny", "--engine=scripted", "--template=vicunna")


@pytest.mark.usefixtures("workers_client")
class TestEngineOptions:
    def test_they_are_kept_in_the_catalog(self, models):
        models(
            "add", "big", "--engine=transformers", "--checkpoint=org/big", "--load-8bit", "--dtype=float32"
        )
        assert ChatModel.objects.get(name="big").engine_options == {"load_8bit": True, "dtype": "float32"}
        assert "options        dtype=float32, load_8bit=True" in models("show", "big")

    def test_they_are_refused_where_they_mean_nothing(self, models):
        with pytest.raises(CommandError, match=r"--load-8bit goes with --engine transformers, not scripted"):
            models("add", "tiny", "--engine=scripted", "--load-8bit")
        with pytest.raises(CommandError, match="exclude each other"):
            models("add", "big", "--engine=transformers", "--load-8bit", "--load-4bit")
        assert not ChatModel.objects.exists()


def test_show_says_what_each_worker_says(models, parrot, workers_client):
    assert "can chat" in models("show", "parrot")
    assert "worker in-process: engine scripted, context 8,192 tokens, 64 slots" in models("show", "parrot")
