"""FastChat-T5's recipe on a tiny encoder-decoder."""

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from tests.training import tokenizers  # noqa: E402 - what follows needs torch
from training.data.records import Conversation, Message  # noqa: E402
from training.recipes import seq2seq  # noqa: E402

QUICK = "--use_cpu True --max_steps 8 --per_device_train_batch_size 8 --learning_rate 0.02 --max_length 48"
QUICK += " --logging_steps 1 --save_strategy no --report_to none"


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    folder = tokenizers.saved(tmp_path_factory.mktemp("t5"))
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=512, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(str(folder))
    return folder


def run(tmp_path, model, data, *arguments):
    progress = tmp_path / "progress.jsonl"
    given = ["--model", model, "--data", data, "--output_dir", tmp_path / "out", "--progress", progress]
    status = seq2seq.main([str(part) for part in (*given, *QUICK.split(), *arguments)])
    return status, [json.loads(line) for line in progress.read_text().splitlines()]


@pytest.mark.parametrize("arguments", [[], ["--method", "lora", "--learning_rate", "0.1"]])
def test_it_learns_answers(tmp_path, t5, data, arguments):
    if arguments:
        pytest.importorskip("peft")
    status, events = run(tmp_path, t5, data, *arguments)
    assert status == 0
    losses = [event["loss"] for event in events if event["event"] == "log"]
    assert losses[-1] < losses[0] - 0.05
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["recipe"] == "seq2seq"


def test_each_answer_is_a_pair_with_all_in_front_of_it(t5):
    tokenizer = transformers.AutoTokenizer.from_pretrained(t5)
    talk = Conversation(
        "x",
        (
            Message("user", "What is the capital of France?"),
            Message("assistant", "The capital of France is Paris."),
            Message("user", "And of Italy?"),
            Message("assistant", "The capital of Italy is Rome."),
            Message("user", "Thanks"),
            Message("assistant", "."),  # nothing to learn
        ),
    )
    first, second = seq2seq.pairs([talk], tokenizer, seq2seq.Speech(), 200)
    assert tokenizer.decode(first.question) == "### Human: What is the capital of France?\n### Assistant:"
    assert tokenizer.decode(second.question).startswith("### Human: What is")
    assert "Paris" in tokenizer.decode(second.question)
    assert tokenizer.decode(second.answer) == "The capital of Italy is Rome."


def test_of_a_long_question_the_end_is_kept_and_a_long_answer_is_ended(t5):
    tokenizer = transformers.AutoTokenizer.from_pretrained(t5)
    talk = Conversation("x", (Message("user", "why " * 50), Message("assistant", "because " * 50)))
    ((question, answer),) = seq2seq.pairs([talk], tokenizer, seq2seq.Speech(), 20)
    assert len(question) == len(answer) == 20
    assert tokenizer.decode(question).endswith("### Assistant:")
    assert answer[-1] == tokenizer.eos_token_id


def test_new_signs_begin_as_the_mean_of_all():
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizers.sentence_piece().raw)
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2
    )
    model = transformers.T5ForConditionalGeneration(config)
    before = model.get_input_embeddings().weight.clone()
    added = seq2seq.add_signs(tokenizer, model)
    after = model.get_input_embeddings().weight
    assert added > 0
    assert torch.equal(after[: len(before)], before)
    assert torch.allclose(after[-1], before.mean(0), atol=1e-6)
    assert seq2seq.add_signs(tokenizer, model) == 0


def test_it_tells_the_time_and_stops_early(tmp_path, t5, data):
    steps = "--eval_strategy steps --eval_steps 1 --save_strategy steps --save_steps 1 --learning_rate 0"
    status, events = run(tmp_path, t5, data, "--eval_data", data, *steps.split(), "--early_stopping", "2")
    assert status == 0
    assert next(event for event in events if event["event"] == "duration")["steps"] == 8
    # Nothing is learnt at a rate of 0: after the first evaluation two more are no better.
    assert [event["step"] for event in events if event["event"] == "evaluation"] == [1, 2, 3]


def test_samples_on_the_way_are_refused(tmp_path, t5, data):
    status, events = run(tmp_path, t5, data, "--sample_prompt", "Hi")
    assert status == 2
    assert events[-1]["field"] == "sample_prompt"


def test_a_decoder_alone_is_refused(tmp_path, checkpoint, data):
    status, events = run(tmp_path, checkpoint, data)
    assert status == 2
    assert "no encoder-decoder" in events[-1]["message"]
