import numpy as np
import pytest

from arena.ratings import bradley_terry, intervals, matchmaking
from arena.ratings.pairs import Outcomes, PairCounts
from tests.arena.ratings.conftest import made_votes


def test_uniform_gives_every_order_of_every_pair_the_same_chance():
    chances = matchmaking.uniform(["a", "b", "c"])
    assert chances == pytest.approx((np.ones((3, 3)) - np.eye(3)) / 6)


def test_weights_multiply_and_zero_is_never_drawn():
    chances = matchmaking.weighted(["a", "b", "c"], {"a": 2.0, "c": 0.0})
    assert chances[0, 1] == chances[1, 0] == 0.5
    assert chances[2].sum() == 0


def test_all_weights_zero_are_as_good_as_none():
    assert matchmaking.weighted(["a", "b"], {"a": 0.0, "b": 0.0}).sum() == pytest.approx(1)


def test_one_model_or_none_has_no_pairs():
    empty = PairCounts.empty([])
    assert matchmaking.uniform(["a"]).sum() == 0
    assert matchmaking.active(empty, ["a"]).sum() == 0
    assert matchmaking.active(empty, []).shape == (0, 0)


def test_the_active_sampler_prefers_newcomers_and_close_rivals():
    outcomes = made_votes(np.array([2.0, 0.0, 0.0, -2.0]), 4000, seed=1)
    names = [*outcomes.models, "new"]
    chances = matchmaking.active(PairCounts.of(outcomes), names)
    assert chances.sum() == pytest.approx(1)
    assert chances[4].sum() > 0.35
    assert chances[1, 2] > chances[0, 3]
    assert (chances[~np.eye(5, dtype=bool)] > 0).all()


def test_without_votes_the_active_sampler_is_uniform():
    names = ["a", "b", "c"]
    assert matchmaking.active(PairCounts.empty([]), names) == pytest.approx(matchmaking.uniform(names))


def test_expected_gain_is_what_one_vote_takes_off_the_variance():
    counts = PairCounts.of(made_votes(np.array([0.5, 0.0, -0.5]), 300, seed=2))
    gain = matchmaking.expected_gain(counts)

    def summed_variance(games):
        natural = (bradley_terry.fit(counts, prior=1000).ratings - 1000) / 173.7178
        chance = 1 / (1 + np.exp(natural[None, :] - natural[:, None]))
        weight = games * chance * (1 - chance)
        return (
            np.trace(np.linalg.inv(np.diag(weight.sum(axis=1)) - weight + np.eye(3) * 0.1737178**2))
            * 173.7178**2
        )

    more = counts.games.copy()
    more[0, 2] += 1
    more[2, 0] += 1
    assert summed_variance(counts.games) - summed_variance(more) == pytest.approx(gain[0, 2], rel=1e-3)


def fought(chooser, truth, votes, seed):
    """A small arena that asks `chooser` for probabilities every 100 votes."""
    rng = np.random.default_rng(seed)
    names = tuple(f"m{index}" for index in range(len(truth)))
    counts = PairCounts.empty(names)
    for _ in range(votes // 100):
        chances = chooser(counts, names).ravel()
        drawn = rng.choice(len(chances), p=chances, size=100)
        left, right = np.divmod(drawn, len(truth))
        won = (rng.random(100) < 1 / (1 + np.exp(truth[right] - truth[left]))).astype(float)
        counts = counts.merge(PairCounts.of(Outcomes(names, left, right, won, np.ones(100))))
    return counts


def test_active_draws_narrow_the_intervals_and_leave_the_ratings_unbiased():
    truth = np.array([2.5, 1.2, 0.4, 0.0, -0.3, -1.3, -2.5])
    errors: dict[str, list[np.ndarray]] = {"active": [], "uniform": []}
    widths: dict[str, list[float]] = {"active": [], "uniform": []}
    choosers = {"active": matchmaking.active, "uniform": lambda _counts, names: matchmaking.uniform(names)}
    for kind, chooser in choosers.items():
        for seed in range(30):
            fit = bradley_terry.fit(fought(chooser, truth, 1500, seed))
            widths[kind].append(intervals.difference_errors(fit)[np.triu_indices(7, 1)].mean())
            errors[kind].append(fit.ratings - 1000 - 173.7178 * (truth - truth.mean()))
    assert np.mean(widths["active"]) < 0.97 * np.mean(widths["uniform"])
    bias = np.mean(errors["active"], axis=0)
    noise = np.std(errors["active"], axis=0) / np.sqrt(30)
    # The maximum of the likelihood itself lies a little outside in small samples; no rating may be off by more.
    assert (np.abs(bias) < 3.5 * noise + 6).all()


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": float("nan")}])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="Weights"):
        matchmaking.weighted(["a", "b"], weights)


def test_doubled_names_and_certain_draws_are_refused():
    with pytest.raises(ValueError, match="twice"):
        matchmaking.uniform(["a", "a"])
    with pytest.raises(ValueError, match="uniform_share"):
        matchmaking.active(PairCounts.empty([]), ["a", "b"], uniform_share=0)
