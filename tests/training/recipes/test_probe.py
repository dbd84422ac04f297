import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from training.data.masking import Example  # noqa: E402 - they need torch
from training.recipes import probe  # noqa: E402
from training.recipes.rows import Collator, GroupedSampler, RowSet  # noqa: E402


def examples(lengths):
    return [Example(np.full(length, 3, np.int32), np.arange(length) > length // 2) for length in lengths]


def test_the_probe_measures_what_can_run_here_and_leaves_no_gradients():
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
        )
    )
    chosen, measured = probe.choose(
        model,
        examples(range(4, 40)),
        max_length=64,
        batch_size=2,
        pad=0,
        attention="sdpa",
        windowed=False,
        seed=0,
    )
    assert set(measured) == {"padded", "rows"}
    assert measured[chosen] == max(measured.values()) > 0
    assert all(parameter.grad is None for parameter in model.parameters())
    assert probe.candidates("flash_attention_2") == ("padded", "rows", "flat")


def test_what_is_learnt_is_counted_over_the_whole_epoch(monkeypatch):
    """Both layouts compute equally fast here, so the one whose batches hold less padding wins."""
    monkeypatch.setattr(probe, "_speed", lambda *given: 1000.0)
    few = examples([4, 60, 5, 58])
    model = torch.nn.Linear(1, 1)
    chosen, measured = probe.choose(
        model, few, max_length=64, batch_size=2, pad=0, attention="sdpa", windowed=False, seed=0
    )
    supervised = sum(example.supervised for example in few)
    assert measured["rows"] == pytest.approx(1000 * supervised / 128, rel=0.01)  # 4 + 60 and 5 + 58 in 64
    assert measured["padded"] == pytest.approx(1000 * supervised / (2 * 8 + 2 * 64), rel=0.01)
    assert chosen == "rows"


def test_the_tokens_of_a_batch_are_those_that_are_collated():
    for layout in ("padded", "rows", "flat"):
        rows = RowSet(examples([3, 17, 30, 9, 41]), layout, 64, seed=0)
        plan = rows.batches(2, seed=0)
        assert sorted(index for batch in plan for index in batch) == list(range(len(rows)))
        collator = Collator(layout, 0, "sdpa", windowed=False)
        for batch in plan:
            made = collator([rows[index] for index in batch])
            assert rows.computed(batch) == made["input_ids"].numel()


def test_packed_rows_hold_every_example_once():
    rows = RowSet(examples([5] * 20), "rows", 32, seed=1)
    assert sum(len(rows[index]) for index in range(len(rows))) == 20
    assert max(rows.lengths) <= 32
    batch = Collator("rows", 0, "sdpa", windowed=False)([rows[0], rows[1]])
    assert batch["attention_mask"].shape == (2, 1, 32, 32)
    assert (
        Collator("flat", 0, "flash_attention_2", windowed=False)([rows[0], rows[1]])["input_ids"].shape[0]
        == 1
    )


def test_grouping_differs_by_epoch_and_repeats_by_seed():
    sampler = GroupedSampler(list(range(100)), 8, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(100))
    assert list(GroupedSampler(list(range(100)), 8, seed=1)) == first
