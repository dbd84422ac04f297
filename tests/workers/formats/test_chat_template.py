"""Messages become a prompt, and a prompt says where the assistant speaks."""

import pytest

from workers.chat_template import BadTemplate, ChatTemplate
from workers.protocol import ChatMessage

# As the SmolLM2 and Qwen2.5 checkpoints write it.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TALK = [
    ChatMessage("user", "Two and two?"),
    ChatMessage("assistant", "Four."),
    ChatMessage("user", "And three?"),
    ChatMessage("assistant", "Seven."),
]


def spoken(source: str, messages=TALK, **variables) -> list[str]:
    rendered = ChatTemplate(source).render_with_spans(messages, **variables)
    return [rendered.text[start:end] for start, end in rendered.spans]


class TestRendering:
    def test_it_opens_the_assistants_turn(self):
        template = ChatTemplate(CHATML)
        assert template.render(TALK[:1]) == (
            "<|im_start|>user\nTwo and two?<|im_end|>\n<|im_start|>assistant\n"
        )
        assert template.render(TALK[:1], add_generation_prompt=False).endswith("<|im_end|>\n")

    def test_it_has_what_transformers_gives_a_template(self):
        source = (
            "{{ bos_token }}{{ tools | tojson }}{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
            "{{ m.content }}{% endfor %}{{ strftime_now('%Y') | length }}{{ documents is none }}"
        )
        template = ChatTemplate(source, variables={"bos_token": "<s>"})
        assert template.render(TALK, tools=[{"name": "<ü>"}]) == '<s>[{"name": "<ü>"}]Two and two?4True'

    def test_it_takes_white_space_at_blocks_away_as_transformers_does(self):
        assert ChatTemplate("{% if true %}\n  a\n  {% endif %}\nb").render(TALK) == "  a\nb"

    def test_a_message_has_only_what_it_brings(self):
        source = "{{ messages[0].tool_calls is defined }}{{ messages[0]['name'] is defined }}"
        assert ChatTemplate(source).render([{"role": "user", "content": "x", "name": "N"}]) == "FalseTrue"

    def test_a_template_can_refuse(self):
        template = ChatTemplate("{{ raise_exception('Only one system message') }}", name="strict")
        with pytest.raises(BadTemplate, match=r"strict cannot write these messages: Only one system message"):
            template.render(TALK)

    def test_a_broken_one_is_named_at_once(self):
        with pytest.raises(BadTemplate, match="chat template of the checkpoint is broken"):
            ChatTemplate("{% for message in messages %}")

    @pytest.mark.parametrize(
        "source",
        [
            "{{ messages.__class__.__mro__ }}",
            "{{ ''.__class__.__base__.__subclasses__() }}",
            "{{ messages.append(1) }}",
            "{{ range(10000000000) | list }}",
            "{{ self._TemplateReference__context.environment.globals.x() }}",
        ],
    )
    def test_it_cannot_leave_its_sandbox(self, source):
        with pytest.raises(BadTemplate):
            ChatTemplate(source).render(TALK)


class TestSpans:
    def test_a_turn_is_the_text_and_what_ends_it(self):
        assert spoken(CHATML) == ["Four.<|im_end|>", "Seven.<|im_end|>"]

    def test_the_blank_behind_a_name_is_the_models_to_write(self):
        source = "{% for m in messages %}{{ m.role }}:{{ ' ' + m.content }}\n{% endfor %}"
        source += "{% if add_generation_prompt %}assistant:{% endif %}"
        assert spoken(source) == [" Four.\n", " Seven.\n"]

    def test_a_template_may_trim(self):
        source = CHATML.replace("message['content']", "message['content'] | trim")
        talk = [ChatMessage("user", "Hi"), ChatMessage("assistant", "\n Ho \n")]
        assert spoken(source, talk) == ["Ho<|im_end|>"]
        assert spoken(CHATML, talk) == ["\n Ho \n<|im_end|>"]

    def test_thoughts_that_a_template_leaves_out_are_no_part_of_it(self):
        """As Qwen3's and DeepSeek-R1's do with the thoughts of earlier turns."""
        source = CHATML.replace("message['content']", "(message['content'].split('</think>') | last | trim)")
        talk = [*TALK[:1], ChatMessage("assistant", "<think>Hm.</think>\n\nFour."), *TALK[2:]]
        assert spoken(source, talk) == ["Four.<|im_end|>", "Seven.<|im_end|>"]

    def test_turns_that_are_left_out_have_no_span(self):
        assert spoken(CHATML.replace("in messages", "in messages[-2:]")) == ["Seven.<|im_end|>"]

    def test_what_the_template_marks_itself_counts(self):
        source = (
            "{% for m in messages %}{% if m.role == 'assistant' %}A{% generation %}{{ m.content | upper }}"
            "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
        )
        assert spoken(source) == ["FOUR.", "SEVEN."]
        assert ChatTemplate(source).render(TALK) == "Two and two?AFOUR.And three?ASEVEN."

    def test_it_does_not_guess(self):
        with pytest.raises(BadTemplate, match="changes what the assistant said"):
            ChatTemplate(CHATML.replace("['content']", "['content'][:3]")).render_with_spans(TALK)

    def test_an_empty_answer_has_no_span(self):
        assert spoken(CHATML, [ChatMessage("user", "Hi"), ChatMessage("assistant", "")]) == []

    def test_a_template_that_insists_on_a_question_first_is_understood(self):
        source = "{% if messages[0].role != 'user' %}{{ raise_exception('!') }}{% endif %}" + CHATML
        assert spoken(source) == ["Four.<|im_end|>", "Seven.<|im_end|>"]

    def test_it_says_the_same_text_as_render(self):
        template = ChatTemplate(CHATML)
        assert template.render_with_spans(TALK, add_generation_prompt=True).text == template.render(TALK)


def test_it_writes_what_transformers_writes():
    utils = pytest.importorskip(
        "transformers.utils.chat_template_utils", reason="transformers is not installed"
    )
    source = (
        "{%- if tools %}\n{{ tools | tojson(indent=2) }}\n{% endif %}\n  {% for m in messages %}"
        "{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}\n{{ messages | tojson }}\n"
    )
    messages = [{"role": m.role, "content": m.content} for m in TALK]
    tools = [{"type": "function", "function": {"name": "é<f>", "parameters": {}}}]
    theirs, _ = utils.render_jinja_template([messages], tools=tools, chat_template=source)
    assert ChatTemplate(source).render(messages, tools=tools, add_generation_prompt=False) == theirs[0]
