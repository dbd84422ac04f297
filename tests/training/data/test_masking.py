"""Labels against references made by hand: for each template the text in pieces, and which of them carry loss."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.training import tokenizers
from training.data.masking import Cut, Masker, token_mask
from training.data.records import BadRow, Conversation, Message
from workers.chat_template import ChatTemplate


def talk(*texts, system="", weights=()):
    head = [Message("system", system)] if system else []
    turns = [Message(("user", "assistant")[index % 2], text) for index, text in enumerate(texts)]
    for number, weight in weights:
        turns[number] = Message(turns[number].role, turns[number].text, {"weight": weight})
    return Conversation("x", (*head, *turns))


TALK = talk("Hi", "Hello!", "What is 1+1?", "It is two.\n\nReally.")
WITH_SYSTEM = talk("Hi", "Hello!", system="Be kind.")


class Case(NamedTuple):
    template: str
    pieces: list[tuple[str, bool]]
    conversation: Conversation = TALK


def p(text):
    """A piece of the prompt."""
    return text, False


def a(text):
    """A piece that the model has to write."""
    return text, True


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CASES = {
    "chatml (Qwen, SmolLM2)": Case(
        CHATML,
        [
            p("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
            a("Hello!<|im_end|>"),
            p("\n<|im_start|>user\nWhat is 1+1?<|im_end|>\n<|im_start|>assistant\n"),
            a("It is two.\n\nReally.<|im_end|>"),
            p("\n"),
        ],
    ),
    "chatml with a system message": Case(
        CHATML,
        [
            p(
                "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
            ),
            a("Hello!<|im_end|>"),
            p("\n"),
        ],
        WITH_SYSTEM,
    ),
    "chatml with generation blocks": Case(
        "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n"
        "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}\n"
        "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        [
            p("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
            a("Hello!<|im_end|>"),
            # A line end in front of a block's line is template layout: `trim_blocks` takes it.
            p("<|im_start|>user\nWhat is 1+1?<|im_end|>\n<|im_start|>assistant\n"),
            a("It is two.\n\nReally.<|im_end|>"),
        ],
    ),
    "Llama 3": Case(
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
        [
            p("<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"),
            p("<|start_header_id|>assistant<|end_header_id|>\n\n"),
            a("Hello!<|eot_id|>"),
            p("<|start_header_id|>user<|end_header_id|>\n\nWhat is 1+1?<|eot_id|>"),
            p("<|start_header_id|>assistant<|end_header_id|>\n\n"),
            a("It is two.\n\nReally.<|eot_id|>"),
        ],
    ),
    "Llama 2": Case(
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
        "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}",
        [
            p("<s>[INST] Hi [/INST]"),
            a(" Hello! </s>"),
            p("<s>[INST] What is 1+1? [/INST]"),
            a(" It is two.\n\nReally. </s>"),
        ],
    ),
    "Mistral": Case(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
        [
            p("<s>[INST] Hi [/INST]"),
            a("Hello!</s>"),
            p("[INST] What is 1+1? [/INST]"),
            a("It is two.\n\nReally.</s>"),
        ],
    ),
    "Vicuna 1.1": Case(
        "{{ 'A chat. ' }}{% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}"
        "{% else %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
        [
            p("A chat. USER: Hi ASSISTANT:"),
            a(" Hello!</s>"),
            p("USER: What is 1+1? ASSISTANT:"),
            a(" It is two.\n\nReally.</s>"),
        ],
    ),
    "Gemma": Case(
        "<bos>{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        [
            p("<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"),
            a("Hello!<end_of_turn>"),
            p("\n<start_of_turn>user\nWhat is 1+1?<end_of_turn>\n<start_of_turn>model\n"),
            a("It is two.\n\nReally.<end_of_turn>"),
            p("\n"),
        ],
    ),
    "Phi 3": Case(
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        [
            p("<|user|>\nHi<|end|>\n<|assistant|>\n"),
            a("Hello!<|end|>"),
            p("\n<|user|>\nWhat is 1+1?<|end|>\n<|assistant|>\n"),
            a("It is two.\n\nReally.<|end|>"),
            p("\n"),
        ],
    ),
    "Zephyr": Case(
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content + eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        [
            p("<|system|>\nBe kind.</s>\n<|user|>\nHi</s>\n<|assistant|>\n"),
            a("Hello!</s>"),
            p("\n"),
        ],
        WITH_SYSTEM,
    ),
    "OpenChat": Case(
        "{{ bos_token }}{% for m in messages %}GPT4 Correct {{ m.role | title }}: {{ m.content }}<|end_of_turn|>"
        "{% endfor %}{% if add_generation_prompt %}GPT4 Correct Assistant:{% endif %}",
        [
            p("<s>GPT4 Correct User: Hi<|end_of_turn|>GPT4 Correct Assistant:"),
            a(" Hello!<|end_of_turn|>"),
            p("GPT4 Correct User: What is 1+1?<|end_of_turn|>GPT4 Correct Assistant:"),
            a(" It is two.\n\nReally.<|end_of_turn|>"),
        ],
    ),
    "Alpaca": Case(
        "{% for m in messages %}{% if m.role == 'user' %}### Instruction:\n{{ m.content }}\n\n"
        "{% else %}### Response:\n{{ m.content + eos_token }}\n\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}### Response:\n{% endif %}",
        [
            p("### Instruction:\nHi\n\n### Response:\n"),
            a("Hello!</s>"),
            p("\n\n### Instruction:\nWhat is 1+1?\n\n### Response:\n"),
            a("It is two.\n\nReally.</s>"),
            p("\n\n"),
        ],
    ),
    "an answer of weight 0": Case(
        CHATML,
        [
            p("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"),
            p("<|im_start|>user\nAgain<|im_end|>\n<|im_start|>assistant\n"),
            a("Hello again!<|im_end|>"),
            p("\n"),
        ],
        talk("Hi", "Hello!", "Again", "Hello again!", weights=[(1, 0)]),
    ),
}
FAMILIES: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "byte level": tokenizers.byte_level,
    "trimmed": lambda: tokenizers.byte_level(trimmed=True),
    "sentence piece": tokenizers.sentence_piece,
    "SmolLM2": tokenizers.smollm2,
}


def template(source):
    return ChatTemplate(source, variables={"bos_token": "<s>", "eos_token": "</s>"})


# SmolLM2 knows the marks of ChatML only: others melt into the text around them.
PAIRS = [
    (name, family)
    for family in FAMILIES
    for name, case in CASES.items()
    if family != "SmolLM2" or "<|im_start|>" in case.template
]


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_labels_are_those_made_by_hand_token_by_token(name, family):
    case, tokenizer = CASES[name], FAMILIES[family]()
    (example,) = Masker(template(case.template), tokenizer).rows(case.conversation)

    expected: list[tuple[int, bool]] = []
    for text, trained in case.pieces:
        expected += [(token, trained) for token in tokenizer(text).ids]
    assert list(zip(example.ids.tolist(), example.mask.tolist(), strict=True)) == expected


def test_the_tokens_of_smollm2_written_out():
    tokenizer = tokenizers.smollm2()
    conversation = talk("Hi", "Yes, it is.")
    (example,) = Masker(ChatTemplate(CHATML), tokenizer).rows(conversation)
    written = [
        (tokenizer.decode([token]), flag)
        for token, flag in zip(example.ids.tolist(), example.mask.tolist(), strict=True)
    ]
    assert written == [
        ("<|im_start|>", False),
        ("user", False),
        ("\n", False),
        ("Hi", False),
        ("<|im_end|>", False),
        ("\n", False),
        ("<|im_start|>", False),
        ("ass", False),
        ("istant", False),
        ("\n", False),
        ("Yes", True),
        (",", True),
        (" it", True),
        (" is", True),
        (".", True),
        ("<|im_end|>", True),
        ("\n", False),
    ]


def test_blanks_without_characters_of_their_own_belong_to_the_answer_around_them():
    #      "ab"    blank   "c"
    assert token_mask([(0, 2), (2, 2), (3, 4)], [(1, 4)]) == [True, True, True]
    assert token_mask([(0, 2), (2, 2), (3, 4)], [(0, 2)]) == [True, False, False]
    assert token_mask([(0, 1), (1, 2), (1, 2), (2, 3)], [(1, 2)]) == [False, True, True, False]
    assert token_mask([(0, 1)], []) == [False]


def test_a_row_is_cut_at_its_length_and_says_how_much_is_gone():
    tokenizer = tokenizers.byte_level()
    whole = Masker(template(CHATML), tokenizer).rows(TALK)[0]
    (cut,) = Masker(template(CHATML), tokenizer, max_length=20).rows(TALK)
    assert len(cut) == 20
    assert cut.truncated == len(whole) - 20
    assert cut.ids.tolist() == whole.ids.tolist()[:20]


@pytest.mark.parametrize(
    ("conversation", "length", "words"),
    [(TALK, 4, "behind the length limit"), (talk("Hi", "No.", weights=[(1, 0)]), 0, "no answer to learn")],
)
def test_a_conversation_without_loss_is_a_bad_row(conversation, length, words):
    with pytest.raises(BadRow, match=words):
        Masker(template(CHATML), tokenizers.byte_level(), max_length=length).rows(conversation)


def test_a_template_that_refuses_is_a_bad_row_with_its_own_words():
    strict = "{{ raise_exception('No system message, please') }}"
    with pytest.raises(BadRow, match="No system message, please"):
        Masker(template(strict), tokenizers.byte_level()).rows(WITH_SYSTEM)


def test_unrolled_a_conversation_gives_one_row_for_each_answer():
    tokenizer = tokenizers.byte_level()
    rows = Masker(template(CHATML), tokenizer, Cut.UNROLLED).rows(TALK)
    learnt = [tokenizer.decode(row.ids[row.mask].tolist()) for row in rows]
    assert learnt == ["Hello!<|im_end|>", "It is two.\n\nReally.<|im_end|>"]


def test_tools_of_a_row_reach_its_template():
    source = "{% if tools %}{{ tools | tojson }}{% endif %}" + CHATML
    conversation = Conversation("x", TALK.messages, {"tools": [{"name": "add"}]})
    detailed = Masker(template(source), tokenizers.byte_level()).detailed(
        conversation.messages, conversation.extra
    )
    assert detailed.text.startswith('[{"name": "add"}]')
