"""The board's mathematics, with plain numbers."""

import csv
import gzip
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from arena import boards
from arena.boards import PairRow

LLMFAO = Path(__file__).parents[2] / "data/llmfao/crowd-comparisons.csv.gz"


def row(
    left: str, right: str, wins: int, losses: int, ties: int = 0, bad: int = 0, weight: float = 1.0
) -> PairRow:
    tied = ties + bad
    sums = [weight * number for number in (wins, losses, tied)]
    return PairRow(left, right, wins, losses, ties, bad, *sums, *(weight * value for value in sums))


def ratings(board: boards.Board) -> dict[str, float]:
    return {standing.name: standing.rating for standing in board.standings}


def both_ways(left: str, right: str, wins: int, losses: int, ties: int = 0) -> list[PairRow]:
    """Without any advantage of the left."""
    return [row(left, right, wins, losses, ties), row(right, left, losses, wins, ties)]


def test_it_reproduces_the_published_example():
    """https://en.wikipedia.org/wiki/Bradley–Terry_model, "Worked example": powers 0.640, 1.043, 0.660, 2.270."""
    played = [("A", "B", 2, 3), ("A", "D", 1, 4), ("B", "C", 5, 3), ("C", "D", 1, 3)]
    rows = [r for pair in played for r in both_ways(pair[0], pair[1], pair[2] * 1000, pair[3] * 1000)]
    found = ratings(boards.solve(rows))
    powers = {name: math.exp((value - 1000) / boards.POINTS) for name, value in found.items()}
    expected = {"A": 0.640, "B": 1.043, "C": 0.660, "D": 2.270}
    for name, power in expected.items():
        assert powers[name] == pytest.approx(power, abs=0.002)


def test_two_chat_models_differ_by_the_log_odds_of_their_score():
    found = ratings(boards.solve(both_ways("a", "b", 7000, 3000)))
    assert found["a"] - found["b"] == pytest.approx(400 * math.log10(7 / 3), abs=0.02)
    assert found["a"] + found["b"] == pytest.approx(2000)


def test_it_solves_the_likelihood_equations():
    generator = np.random.default_rng(1)
    rows = [
        row(f"m{i}", f"m{j}", *(int(n) for n in generator.integers(0, 200, 3)))
        for i in range(12)
        for j in range(12)
        if i != j
    ]
    assert boards.solve(rows).gradient < 1e-8


def test_an_advantage_of_the_left_is_an_effect_and_no_rating():
    """Left wins 60 % whoever stands there: two equal chat models, and a position effect."""
    board = boards.solve([row("a", "b", 600, 400), row("b", "a", 600, 400)])
    found = ratings(board)
    assert found["a"] == pytest.approx(found["b"], abs=1e-6)
    effect = board.effects[0]
    assert effect.name == "position"
    assert effect.points == pytest.approx(400 * math.log10(1.5), abs=0.1)
    assert effect.low > 0


def test_a_chat_model_that_never_lost_keeps_a_finite_rating_and_is_named():
    board = boards.solve(both_ways("a", "b", 20, 0))
    assert board.one_sided == ("a", "b")
    assert 1000 < ratings(board)["a"] < 3000


def test_groups_that_never_met_are_named():
    board = boards.solve(both_ways("a", "b", 5, 5) + both_ways("c", "d", 5, 5))
    assert board.groups == (("a", "b"), ("c", "d"))


def test_it_ranks_only_what_can_be_told_apart():
    board = boards.solve(
        both_ways("a", "b", 55, 45) + both_ways("a", "c", 900, 100) + both_ways("b", "c", 900, 100)
    )
    places = {standing.name: standing for standing in board.standings}
    assert (places["a"].rank, places["b"].rank, places["c"].rank) == (1, 1, 3)
    assert (places["a"].tier, places["b"].tier, places["c"].tier) == (1, 1, 2)
    assert places["a"].alike == ("b",)
    assert places["a"].next_votes is not None
    assert places["b"].next_votes is None
    assert places["c"].next_votes is None


def test_that_many_more_votes_settle_it():
    """With the promised number of further votes at the same rate, the two can be told apart; with half, not yet."""
    board = boards.solve(both_ways("a", "b", 55, 45))
    more = next(s.next_votes for s in board.standings if s.name == "a")
    assert more is not None

    def settled(votes: float) -> bool:
        scale = (200 + votes) / 200
        grown = boards.solve(both_ways("a", "b", round(55 * scale), round(45 * scale)))
        return grown.standings[1].rank == 2

    assert settled(more * 1.1)
    assert not settled(more * 0.5)


def test_ties_make_intervals_narrower_than_coin_tosses():
    tied = boards.solve(both_ways("a", "b", 10, 10, 80)).standings[0]
    decided = boards.solve(both_ways("a", "b", 50, 50)).standings[0]
    assert tied.high - tied.low < 0.6 * (decided.high - decided.low)


def test_a_single_tie_says_next_to_nothing():
    """Its residual is 0, which must not make an interval of width 0, neither alone nor beside many other votes."""
    for others in ([], both_ways("b", "c", 500, 500)):
        standing = next(s for s in boards.solve([row("a", "b", 0, 0, 1), *others]).standings if s.name == "a")
        assert standing.high - standing.low > 400
        assert standing.alike


def test_weights_do_not_pretend_to_be_votes():
    """A hundred votes of weight 10 say no more than a hundred votes."""
    light = boards.solve([row("a", "b", 60, 40), row("b", "a", 40, 60)]).standings[0]
    heavy = boards.solve([row("a", "b", 60, 40, weight=10), row("b", "a", 40, 60, weight=10)]).standings[0]
    assert heavy.high - heavy.low == pytest.approx(light.high - light.low, rel=0.02)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """300 simulated boards of six: 1,800 intervals; 95 ± 2 % is four standard deviations."""
    generator = np.random.default_rng(7)
    truth = np.linspace(-1, 1, 6)
    inside = 0
    for _ in range(300):
        rows = []
        for i in range(6):
            for j in range(6):
                if i != j:
                    wins = int(generator.binomial(40, 1 / (1 + math.exp(truth[j] - truth[i]))))
                    rows.append(row(f"m{i}", f"m{j}", wins, 40 - wins))
        for standing in boards.solve(rows).standings:
            true = 1000 + boards.POINTS * truth[int(standing.name[1:])]
            inside += standing.low <= true <= standing.high
    assert 0.93 < inside / 1800 < 0.97


def test_equal_chat_models_are_rarely_told_apart():
    """200 boards of eight equals: at most 5 % may tell any pair apart; 10 % is three standard deviations away."""
    generator = np.random.default_rng(11)
    wrong = 0
    for _ in range(200):
        rows = [
            row(f"m{i}", f"m{j}", wins, 30 - wins)
            for i in range(8)
            for j in range(8)
            if i != j
            for wins in [int(generator.binomial(30, 0.5))]
        ]
        wrong += any(standing.rank > 1 for standing in boards.solve(rows).standings)
    assert wrong / 200 < 0.10


def test_style_control_takes_the_advantage_of_long_answers_out_of_the_rating():
    """Both answer equally well; a is always longer, and people prefer the longer answer whoever wrote it."""
    generator = np.random.default_rng(5)
    votes, counts = [], {("a", "b"): [0, 0], ("b", "a"): [0, 0]}
    for number in range(6000):
        left, right = ("a", "b") if number % 2 else ("b", "a")
        mean = {"a": 300, "b": 200}
        lengths = [float(generator.uniform(0.3, 1.7) * mean[name]) for name in (left, right)]
        apart = (lengths[0] - lengths[1]) / sum(lengths)
        won = generator.random() < 1 / (1 + math.exp(-2 * apart))
        choice = "left" if won else "right"
        counts[left, right][not won] += 1
        votes.append(boards.StyledVote(left, right, choice, 1.0, [lengths[0], 0.0], [lengths[1], 0.0]))
    rows = [row(left, right, *numbers) for (left, right), numbers in counts.items()]
    plain = ratings(boards.solve(rows))
    board = boards.solve(rows, boards.styled(votes, ("length", "headers")))
    controlled = ratings(board)
    assert plain["a"] - plain["b"] > 40
    assert abs(controlled["a"] - controlled["b"]) < 20
    assert [effect.name for effect in board.effects] == ["position", "length"]
    assert board.effects[1].low > 0
    assert board.gradient < 1e-8


def test_no_votes_make_an_empty_board():
    assert boards.solve([]).standings == ()
    assert boards.solve([row("a", "b", 0, 0)]).standings == ()


def test_a_chat_model_against_itself_is_left_out():
    assert boards.solve([row("a", "a", 3, 2)]).standings == ()


def test_the_order_of_the_rows_does_not_matter():
    rows = both_ways("a", "b", 5, 3) + both_ways("b", "c", 4, 4)
    assert ratings(boards.solve(rows)) == pytest.approx(ratings(boards.solve(rows[::-1])), abs=1e-6)


def test_it_ranks_real_votes_with_sensible_tiers():
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    with gzip.open(LLMFAO, "rt", encoding="utf-8") as file:
        for vote in csv.DictReader(file):
            counts[vote["left"], vote["right"]][["left", "right", "tie"].index(vote["winner"])] += 1
    board = boards.solve([row(left, right, *numbers) for (left, right), numbers in counts.items()])
    assert (len(board.standings), board.votes, board.gradient < 1e-8) == (59, 8931, True)
    leaders = [standing.name for standing in board.standings[:8]]
    assert "GPT 4" in leaders or "GPT-4" in leaders, leaders
    assert 3 <= board.standings[-1].tier <= 12
