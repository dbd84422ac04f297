"""The batch that rows join and leave at every step, against the model asked plainly."""

import psutil
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[hf]'")

from transformers import AutoModelForCausalLM  # noqa: E402

from tests.workers.engines.weights import tiny_decoder  # noqa: E402
from workers.engines.base import Meter, StopSignal  # noqa: E402
from workers.engines.stopping import StopStrings  # noqa: E402
from workers.engines.transformers import probing  # noqa: E402
from workers.engines.transformers.probing import _NoText, check_slots  # noqa: E402
from workers.engines.transformers.rows import Prompt, Row  # noqa: E402
from workers.engines.transformers.sampling import Picker, Settings  # noqa: E402
from workers.engines.transformers.slots import ATTENTION, SlotBatch, _span, causal_mask, lazy_zeros, together  # noqa: E402

INF = float("inf")


@pytest.fixture(autouse=True)
def as_the_loop_runs_it():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_decoder(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def plain(folder):
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def model(folder):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    model.set_attn_implementation(ATTENTION)
    return model


def row(ids, *, reuse=False):
    return Row(
        Prompt(list(ids), []),
        picker=Picker(Settings()),
        text=_NoText(),
        stops=StopStrings(()),
        ends=(),
        limit=10**6,
        meter=Meter(),
        stop=StopSignal(),
        reuse=reuse,
    )


def text(length, start=0):
    return [(start + 7 * number) % 250 for number in range(length)]


def expected(plain, ids):
    """The logits behind the last of `ids`."""
    return plain(input_ids=torch.tensor([ids])).logits[0, -1]


def turn(batch, plain):
    """Step; compare every row's logits with the plain model's; go on greedily. The rows that had logits."""
    ready, logits = batch.step()
    for one, values in zip(ready, logits, strict=True):
        assert torch.allclose(values, expected(plain, one.ids), atol=2e-4), one.slot
        one.ids.append(int(values.argmax()))
    return ready


def test_rows_of_any_length_join_and_leave_without_changing_each_others_numbers(model, plain):
    batch = SlotBatch(model, slots=4, context=128, step_tokens=16)
    first, second, third = row(text(5)), row(text(40, 3)), row(text(23, 9))
    batch.enter(first)
    turn(batch, plain)
    batch.enter(second)
    batch.enter(third)
    for _ in range(8):
        turn(batch, plain)
    assert [one.unread for one in (first, second, third)] == [1, 1, 1]
    batch.leave(second)  # a hole in the middle
    turn(batch, plain)
    late = row(text(12, 30))
    batch.enter(late)
    assert late.slot == 1, "the lowest free slot"
    for _ in range(3):
        assert first in turn(batch, plain)


def test_rows_that_answer_are_not_kept_waiting_by_a_long_prompt(model, plain):
    batch = SlotBatch(model, slots=3, context=128, step_tokens=8)
    answering = row(text(3))
    batch.enter(answering)
    turn(batch, plain)
    batch.enter(row(text(60)))
    for _ in range(6):
        assert turn(batch, plain) == [answering]


def test_prompts_that_fit_are_read_in_one_step(model, plain):
    batch = SlotBatch(model, slots=3, context=128, step_tokens=64)
    rows = [row(text(20, number)) for number in range(3)]
    for one in rows:
        batch.enter(one)
    assert turn(batch, plain) == rows


def test_the_next_turn_of_a_conversation_reads_only_what_is_new(model, plain):
    batch = SlotBatch(model, slots=2, context=128, step_tokens=64)
    first = row(text(30), reuse=True)
    batch.enter(first)
    turn(batch, plain)
    turn(batch, plain)
    batch.leave(first)
    second = row([*first.ids, *text(9, 100)], reuse=True)
    batch.enter(second)
    assert second.slot == first.slot
    assert second.cached == second.read == 31, "the prompt, and the one token of the reply that was run"
    turn(batch, plain)


def test_a_beginning_that_another_row_is_using_is_copied(model, plain):
    batch = SlotBatch(model, slots=2, context=128, step_tokens=64)
    common = text(20)
    first = row([*common, *text(6, 50)], reuse=True)
    batch.enter(first)
    turn(batch, plain)
    second = row([*common, *text(6, 90)], reuse=True)
    batch.enter(second)
    assert (second.slot, second.read) == (1, 20)
    turn(batch, plain)
    turn(batch, plain)


def test_a_short_common_beginning_is_not_worth_a_copy(model):
    batch = SlotBatch(model, slots=2, context=128, step_tokens=64)
    first = row(text(10), reuse=True)
    batch.enter(first)
    batch.step()
    second = row([*text(10), 5], reuse=True)
    batch.enter(second)
    assert second.read == 0


def test_the_whole_prompt_in_the_cache_still_runs_its_last_token(model, plain):
    batch = SlotBatch(model, slots=1, context=64, step_tokens=64)
    for _ in range(2):
        one = row(text(20), reuse=True)
        batch.enter(one)
        assert turn(batch, plain) == [one]
        batch.leave(one)
    assert one.cached == 19


def test_who_wants_no_reuse_gets_none(model):
    batch = SlotBatch(model, slots=1, context=64, step_tokens=64)
    first = row(text(20), reuse=True)
    batch.enter(first)
    batch.step()
    batch.leave(first)
    second = row(text(20))
    batch.enter(second)
    assert second.read == 0


def test_vectors_are_the_same_alone_and_among_others(model):
    batch = SlotBatch(model, slots=1, context=64, step_tokens=64)
    texts = [text(5), text(40, 2), [7], text(13, 90)]
    together_ = batch.embed(texts)
    alone = [batch.embed([ids])[0] for ids in texts]
    for one, other in zip(together_, alone, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


class TestTogether:
    def test_equal_lengths_go_in_one_call(self):
        (group,) = together([(0, 50, 0), (2, 52, 1), (1, 51, 2)])
        assert (group.taken, group.rows, group.slots, group.length) == ([0, 1, 2], [0, 2, 1], 3, 52)

    def test_one_that_is_much_longer_goes_alone(self):
        groups = together([(0, 50, 0), (1, 8000, 1), (2, 40, 2), (3, 45, 3)])
        assert [(group.taken, group.length) for group in groups] == [([1], 8000), ([0, 2, 3], 50)]

    def test_one_that_is_a_little_longer_does_not(self):
        assert len(together([(0, 50, 0), (1, 150, 1)])) == 1

    def test_nobody_is_no_call(self):
        assert together([]) == []

    @pytest.mark.parametrize(
        ("places", "span"),
        [([0, 1, 2], slice(0, 3)), ([4], slice(4, 5)), ([0, 2, 1, 3], [0, 2, 1, 3]), ([0, 2], [0, 2])],
    )
    def test_places_that_follow_each_other_are_a_view(self, places, span):
        assert _span(places) == span


def test_the_mask_hides_what_comes_later_and_what_is_out_of_the_window():
    assert causal_mask(2, 1, 0, torch.float32).tolist() == [[0, 0, -INF], [0, 0, 0]]
    assert causal_mask(2, 2, 2, torch.float32).tolist() == [[-INF, 0, 0, -INF], [-INF, -INF, 0, 0]]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("qwen2", {}),
        ("mistral", {"sliding_window": 6}),
        ("phi3", {}),
        (
            "gemma3_text",
            {"head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
        ),
    ],
)
def test_other_families_can_be_driven_too(tmp_path, kind, values):
    model = AutoModelForCausalLM.from_pretrained(tiny_decoder(tmp_path, kind, **values)).eval()
    assert check_slots(model) == ""
    assert model.config._attn_implementation == ATTENTION


@pytest.mark.parametrize(
    ("kind", "values"), [("bloom", {"n_layer": 2, "n_head": 4}), ("mamba", {"state_size": 4})]
)
def test_one_that_cannot_is_told_from_the_others_and_left_as_it_was(tmp_path, kind, values):
    model = AutoModelForCausalLM.from_pretrained(tiny_decoder(tmp_path, kind, **values)).eval()
    before = model.config._attn_implementation
    assert check_slots(model)
    assert model.config._attn_implementation == before


def test_wrong_numbers_are_noticed(folder, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    monkeypatch.setattr("workers.engines.transformers.slots.causal_mask", lambda *_: torch.zeros(1))
    monkeypatch.setattr(probing, "PIECE", 64)
    assert check_slots(model)


def test_memory_is_taken_as_it_is_written():
    process = psutil.Process()
    before = process.memory_info().rss
    block = lazy_zeros(256 * 2**20)
    assert process.memory_info().rss - before < 16 * 2**20
    block[: 32 * 2**20] = 1
    grown = process.memory_info().rss - before
    assert 30 * 2**20 < grown < 64 * 2**20
    assert not block[40 * 2**20 : 41 * 2**20].any()
