"""`manage.py data split` and `preview`: they need a checkpoint's tokenizer."""

import json

import pytest
from django.core.management.base import CommandError

from tests.training import tokenizers
from tests.training.data.test_masking import CHATML
from tests.training.rows import numbered, sharegpt
from tests.training.test_data_command import rows, run
from training import tokenizing
from training.data.records import Message


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tokenizers.saved(tmp_path_factory.mktemp("checkpoint"), chat_template=CHATML)


@pytest.fixture
def long(tmp_path):
    path = tmp_path / "long.jsonl"
    texts = [f"word{number} " * 30 for number in range(12)]
    path.write_text(json.dumps(sharegpt(*texts, id="long")) + "\n" + json.dumps(numbered(1)[0]) + "\n")
    return path


def test_split_counts_with_the_models_tokenizer_and_template(long, tmp_path, checkpoint):
    target = tmp_path / "out.jsonl"
    count = tokenizing.TokenCounter(str(checkpoint))
    whole = [
        Message({"human": "user"}.get(turn["from"], "assistant"), turn["value"])
        for turn in rows(long)[0]["conversations"]
    ]
    limit = count(whole) // 2
    run("split", long, "--out", target, "--max-tokens", limit, "--model", checkpoint)
    pieces = [row for row in rows(target) if row.get("split_from") == "long"]
    assert len(pieces) >= 2
    said = [turn["value"].strip() for piece in pieces for turn in piece["conversations"]]
    assert said == [message.text.strip() for message in whole]
    assert rows(target)[-1] == numbered(1)[0]


def test_split_parts_training_from_validation(tmp_path):
    source, train, validation = tmp_path / "in.jsonl", tmp_path / "train.jsonl", tmp_path / "val.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in numbered(200)))
    run("split", source, "--out", train, "--validation", validation, "--share", "0.2")
    ids = [{row["id"] for row in rows(path)} for path in (train, validation)]
    assert not ids[0] & ids[1]
    assert len(ids[0] | ids[1]) == 200
    assert 15 <= len(ids[1]) <= 65


def test_preview_shows_what_is_learnt(long, tmp_path, checkpoint):
    shown = run("preview", long, "--model", checkpoint, "--rows", "2", "--color", "never")
    assert "⟦Number 0: 7000.<|im_end|>⟧" in shown
    assert "granted, rows cut whole" in shown
    listed = run("preview", long, "--model", checkpoint, "--rows", "2", "--ids")
    learnt = [line for line in listed.splitlines() if line.startswith("●")]
    assert learnt[-1].endswith("'<|im_end|>'")


def test_preview_says_why_a_template_is_refused(long, tmp_path, checkpoint):
    endless = tmp_path / "endless.jinja"
    endless.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    shown = run("preview", long, "--model", checkpoint, "--template", endless, "--rows", "1")
    assert "REFUSED" in shown
    assert "✗ stop trained An answer ends with" in shown


def test_a_prompt_format_takes_the_place_of_the_checkpoints_template(checkpoint):
    speech = tokenizing.load(str(checkpoint), "vicuna_v1.1")
    text = speech.template.render([{"role": "user", "content": "Hi"}])
    assert text.endswith("USER: Hi ASSISTANT:")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-tokens", "100"], "belong together"),
        ([], "Say what to do"),
        (["--max-tokens", "100", "--model", "/nowhere/at/all"], "No tokenizer could be loaded"),
        (["--max-tokens", "100", "--model", "/nowhere/x.gguf"], "no file"),
    ],
)
def test_it_says_what_is_missing(long, tmp_path, arguments, words):
    pytest.importorskip("transformers")
    with pytest.raises(CommandError, match=words):
        run("split", long, "--out", tmp_path / "out.jsonl", *arguments)


def test_an_unknown_prompt_format_is_named(long, checkpoint):
    with pytest.raises(CommandError, match="no prompt format 'vicunja'"):
        run("preview", long, "--model", checkpoint, "--template", "vicunja")
