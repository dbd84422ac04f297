from dataclasses import replace

import pytest

from tests.training import tokenizers
from tests.training.data.test_masking import CASES, CHATML, talk, template
from training.data.certificate import Certificate, Ends, Refused, certify, key, packed_check
from training.data.masking import Cut, Masker

ENDS = (
    "</s>",
    "<|im_end|>",
    "<|eot_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|end_of_turn|>",
)


def ends(tokenizer, *texts):
    return Ends(frozenset(tokenizer.id(token) for token in ENDS), texts)


def certificate(source, *texts, tokenizer=None, samples=()):
    tokenizer = tokenizer or tokenizers.byte_level()
    return certify(template(source), tokenizer, tokenizer.decode, ends(tokenizer, *texts), samples=samples)


def failed(found):
    return [check.name for check in found.checks if not check.passed]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("family", [tokenizers.byte_level, lambda: tokenizers.byte_level(trimmed=True)])
def test_each_template_gets_its_certificate(name, family):
    found = certificate(CASES[name].template, tokenizer=family())
    assert found.valid, found.problem
    assert found.cut == Cut.WHOLE


def test_a_template_without_an_end_of_turn_is_refused_with_the_remedy():
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    found = certificate(source)
    assert not found.valid
    assert "stop trained" in failed(found)
    assert "end-of-text token" in str(Refused(found))


def test_a_string_that_ends_the_turn_is_an_end_too():
    source = (
        "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n###\n{% endfor %}"
        "{% if add_generation_prompt %}### assistant:{% endif %}"
    )
    assert "stop trained" in failed(certificate(source))
    assert certificate(source, "\n###").valid


def test_an_open_turn_that_ends_with_a_blank_is_cut_where_the_model_begins():
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }} "
        "{% else %}ASSISTANT: {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
    )
    tokenizer = tokenizers.byte_level()
    found = certificate(source)
    assert found.valid, found.problem
    assert found.cut == Cut.UNROLLED_SPLIT
    masker = Masker(template(source), tokenizer, found.cut)
    conversation = talk("Hi", "Hello!")
    (row,) = masker.rows(conversation)
    prompt = masker.prompt_ids(conversation.messages[:1])
    assert row.ids[: len(prompt)].tolist() == prompt  # what the model is asked with, then its answer
    assert tokenizer.decode(row.ids[row.mask].tolist()) == "Hello!</s>"


def test_a_template_that_rewrites_earlier_turns_is_unrolled():
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}{% if not loop.last %} before{% endif %}\n"
        "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    found = certificate(source)
    assert not found.valid  # even the last question is written differently when an answer follows it
    assert "prefix" in failed(found)


def test_a_decoder_that_tells_another_text_is_refused():
    tokenizer = tokenizers.byte_level()
    found = certify(template(CHATML), tokenizer, lambda ids: tokenizer.decode(ids).upper(), ends(tokenizer))
    assert failed(found) == ["text recovered"]
    assert "instead of" in found.problem


def test_a_template_that_writes_no_answers_is_refused():
    found = certificate(
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    assert not found.valid


def test_a_sample_that_the_template_refuses_makes_it_invalid():
    source = (
        "{% for m in messages %}{% if 'secret' in m.content %}{{ raise_exception('hush') }}{% endif %}{% endfor %}"
        + CHATML
    )
    assert certificate(source).valid
    found = certificate(source, samples=[talk("the secret?", "Never told.")])
    assert failed(found) == ["rendered"]
    assert "hush" in found.problem


def test_packed_and_unpacked_losses_are_compared_in_the_end():
    found = certificate(CHATML)
    assert found.with_check(packed_check(2.3456781, 2.3456789)).valid
    refused = found.with_check(packed_check(2.3457, 2.3456))
    assert not refused.valid
    assert "rows see each other" in refused.problem


def test_its_key_changes_with_tokenizer_template_and_ends():
    first = Ends(frozenset({1}))
    keys = {
        key("a", "b", first),
        key("x", "b", first),
        key("a", "x", first),
        key("a", "b", Ends(frozenset({2}))),
    }
    assert len(keys) == 4
    assert key("a", "b", first) == key("a", "b", first)


def test_it_tells_all_it_proved():
    found = replace(certificate(CHATML), key="k")
    assert isinstance(found, Certificate)
    assert found.as_dict() == {
        "key": "k",
        "cut": "whole",
        "valid": True,
        "checks": dict.fromkeys(
            ("rendered", "prefix", "text recovered", "stop trained", "loss everywhere"), "ok"
        ),
    }
