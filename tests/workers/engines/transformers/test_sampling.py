"""Tokens from logits, with plain numbers."""

import math
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")

from workers.engines.transformers.sampling import CANDIDATES, Picker, Settings, likely, pick  # noqa: E402

LOGITS = torch.tensor([[0.0, 3.0, 1.0, 2.0]])


def picked(logits=LOGITS, said=(), **settings):
    seed = settings.pop("seed", 1)
    (found,) = pick(logits, [Picker(Settings(**settings), seed=seed, said=said)])
    return found


def test_the_highest_is_picked_when_greedy():
    assert picked().token == 1


def test_a_bias_decides():
    assert picked(logit_bias={1: -100.0}).token == 3
    assert picked(logit_bias={0: 100.0, 99: 5.0}).token == 0


def test_penalties_count_what_was_said():
    assert picked(said=[1], presence_penalty=1.5).token == 3
    assert picked(said=[1], frequency_penalty=0.9).token == 1
    assert picked(said=[1, 1], frequency_penalty=0.9).token == 3


def test_a_repetition_penalty_makes_less_likely_on_both_sides_of_zero():
    picker = Picker(Settings(repetition_penalty=2.0), prompt=[0, 1])
    changed = picker.changed(torch.tensor([-1.0, 3.0, 1.0]))
    assert changed.tolist() == [-2.0, 1.5, 1.0]


def test_what_is_picked_is_noted():
    picker = Picker(Settings(presence_penalty=10.0))
    tokens = [pick(LOGITS, [picker])[0].token for _ in range(4)]
    assert tokens == [1, 3, 2, 0]


def test_the_logits_are_not_changed():
    before = LOGITS.clone()
    picked(said=[1], presence_penalty=1.0, logit_bias={2: 5.0}, temperature=0.5)
    assert torch.equal(LOGITS, before)


def test_it_draws_as_often_as_the_model_says():
    picker = Picker(Settings(temperature=1.0), seed=5)
    counts = Counter(pick(LOGITS, [picker])[0].token for _ in range(4000))
    wanted = torch.softmax(LOGITS[0], 0).tolist()
    # Five standard deviations of 4000 draws are at most 4 percent: odds of 1 to a million, and the seed is fixed.
    for token, chance in enumerate(wanted):
        assert abs(counts[token] / 4000 - chance) < 0.04


def test_a_seed_repeats_whatever_else_is_in_the_batch():
    logits = torch.randn(3, 500, generator=torch.Generator().manual_seed(1))
    settings = Settings(temperature=1.0, top_p=0.9)

    alone = Picker(settings, seed=1)
    beside = [Picker(settings, seed=seed) for seed in range(3)]
    first = [pick(logits[1:2], [alone])[0].token for _ in range(5)]
    assert [pick(logits, beside)[1].token for _ in range(5)] == first


def test_a_moved_reply_goes_on_with_the_random_numbers_it_would_have_had():
    settings = Settings(temperature=1.0)
    logits = torch.zeros(1, 1000)
    whole = Picker(settings, seed=9)
    tokens = [pick(logits, [whole])[0].token for _ in range(6)]
    rest = Picker(settings, seed=9, said=tokens[:2])
    assert [pick(logits, [rest])[0].token for _ in range(4)] == tokens[2:]


class TestLikely:
    chances = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625])

    @pytest.mark.parametrize(
        ("settings", "kept"),
        [
            ({"top_k": 2}, 2),
            ({"top_p": 0.5}, 1),
            ({"top_p": 0.51}, 2),
            ({"top_p": 1e-9}, 1),
            ({"min_p": 0.25}, 3),
            ({"top_k": 2, "top_p": 0.7}, 2),  # two thirds and one third of what is left
            ({"top_k": 2, "top_p": 0.6}, 1),
            ({"top_k": 3, "min_p": 0.4}, 2),
        ],
    )
    def test_it_keeps_the_first(self, settings, kept):
        found = likely(self.chances, Settings(temperature=1.0, **settings), whole=True)
        assert found is not None
        assert len(found) == kept

    def test_it_says_when_it_would_have_to_see_more(self):
        assert likely(self.chances[:2], Settings(top_p=0.8)) is None
        assert likely(self.chances[:2], Settings(top_k=3)) is None
        assert likely(self.chances[:2], Settings(min_p=0.1)) is None
        assert likely(self.chances[:2], Settings(top_p=0.7)) is not None


def test_a_nucleus_larger_than_the_candidates_is_found():
    logits = torch.zeros(1, 4 * CANDIDATES)
    picker = Picker(Settings(temperature=1.0, top_p=0.99), seed=3)
    tokens = {pick(logits, [picker])[0].token for _ in range(300)}
    assert len(tokens) > CANDIDATES / 2
    assert max(tokens) > 2 * CANDIDATES


def test_it_tells_log_probabilities_of_the_model_before_any_setting():
    told = picked(temperature=0.5, top_k=1, logit_bias={2: 50.0}, logprobs=True, top_logprobs=2)
    expected = torch.log_softmax(LOGITS[0], 0)
    assert told.token == 2
    assert told.logprob == pytest.approx(float(expected[2]))
    assert [likelihood.token for likelihood in told.top] == [1, 3]
    assert math.isclose(told.top[0].logprob, float(expected[1]), rel_tol=1e-6)


class Only:
    def __init__(self, token):
        self.token, self.accepted = token, []

    def mask(self, logits):
        masked = torch.full_like(logits, -torch.inf)
        masked[self.token] = logits[self.token]
        return masked

    def accept(self, token):
        self.accepted.append(token)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_constraint_has_the_last_word(temperature):
    only = Only(2)
    picker = Picker(Settings(temperature=temperature, top_p=0.5), constraint=only)
    assert pick(LOGITS, [picker])[0].token == 2
    assert only.accepted == [2]
