"""The board's mathematics, with plain numbers."""

import csv
import gzip
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arena.boards import solver_1, solving
from arena.boards.solving import Counter
from arena.ratings.arrays import POINTS
from arena.ratings.pairs import Outcomes
from tests.arena.ratings.conftest import made_votes

LLMFAO = Path(__file__).parents[2] / "data/llmfao/crowd-comparisons.csv.gz"


def row(
    left: str, right: str, wins: int, losses: int, ties: int = 0, bad: int = 0, weight: float = 1.0
) -> Counter:
    tied = ties + bad
    sums = [weight * number for number in (wins, losses, tied)]
    return Counter(left, right, wins, losses, ties, bad, *sums, *(weight * value for value in sums))


def ratings(board: solving.Board) -> dict[str, float]:
    return {standing.name: standing.rating for standing in board.standings}


def both_ways(left: str, right: str, wins: int, losses: int, ties: int = 0) -> list[Counter]:
    """Without any advantage of the left."""
    return [row(left, right, wins, losses, ties), row(right, left, losses, wins, ties)]


def test_it_reproduces_the_published_example():
    """https://en.wikipedia.org/wiki/Bradley–Terry_model, "Worked example": powers 0.640, 1.043, 0.660, 2.270."""
    played = [("A", "B", 2, 3), ("A", "D", 1, 4), ("B", "C", 5, 3), ("C", "D", 1, 3)]
    rows = [r for pair in played for r in both_ways(pair[0], pair[1], pair[2] * 1000, pair[3] * 1000)]
    found = ratings(solving.solve(rows))
    powers = {name: math.exp((value - 1000) / POINTS) for name, value in found.items()}
    expected = {"A": 0.640, "B": 1.043, "C": 0.660, "D": 2.270}
    for name, power in expected.items():
        assert powers[name] == pytest.approx(power, abs=0.002)


def test_two_chat_models_differ_by_the_log_odds_of_their_score():
    found = ratings(solving.solve(both_ways("a", "b", 7000, 3000)))
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
    assert solving.solve(rows).gradient < 1e-8


def test_an_advantage_of_the_left_is_an_effect_and_no_rating():
    """Left wins 60 % whoever stands there: two equal chat models, and a position effect."""
    board = solving.solve([row("a", "b", 600, 400), row("b", "a", 600, 400)])
    found = ratings(board)
    assert found["a"] == pytest.approx(found["b"], abs=1e-6)
    effect = board.effects[0]
    assert effect.name == "position"
    assert effect.points == pytest.approx(400 * math.log10(1.5), abs=0.1)
    assert effect.low > 0


def test_a_chat_model_that_never_lost_keeps_a_finite_rating_and_is_named():
    board = solving.solve(both_ways("a", "b", 20, 0))
    assert board.unbounded == ("a", "b")
    assert 1000 < ratings(board)["a"] < 3000


def test_groups_that_never_met_are_named():
    board = solving.solve(both_ways("a", "b", 5, 5) + both_ways("c", "d", 5, 5))
    assert board.groups == (("a", "b"), ("c", "d"))


def test_it_ranks_only_what_can_be_told_apart():
    board = solving.solve(
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
    board = solving.solve(both_ways("a", "b", 55, 45))
    more = next(s.next_votes for s in board.standings if s.name == "a")
    assert more is not None

    def settled(votes: float) -> bool:
        scale = (200 + votes) / 200
        grown = solving.solve(both_ways("a", "b", round(55 * scale), round(45 * scale)))
        return grown.standings[1].rank == 2

    assert settled(more * 1.1)
    assert not settled(more * 0.5)


def test_ties_make_intervals_narrower_than_coin_tosses():
    tied = solving.solve(both_ways("a", "b", 10, 10, 80)).standings[0]
    decided = solving.solve(both_ways("a", "b", 50, 50)).standings[0]
    assert tied.high - tied.low < 0.6 * (decided.high - decided.low)


def test_a_single_tie_says_next_to_nothing():
    """Its residual is 0, which must not make an interval of width 0, neither alone nor beside many other votes."""
    for others in ([], both_ways("b", "c", 500, 500)):
        standing = next(
            s for s in solving.solve([row("a", "b", 0, 0, 1), *others]).standings if s.name == "a"
        )
        assert standing.high - standing.low > 400
        assert standing.alike


def test_weights_do_not_pretend_to_be_votes():
    """A hundred votes of weight 10 say no more than a hundred votes."""
    light = solving.solve([row("a", "b", 60, 40), row("b", "a", 40, 60)]).standings[0]
    heavy = solving.solve([row("a", "b", 60, 40, weight=10), row("b", "a", 40, 60, weight=10)]).standings[0]
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
        for standing in solving.solve(rows).standings:
            true = 1000 + POINTS * truth[int(standing.name[1:])]
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
        wrong += any(standing.rank > 1 for standing in solving.solve(rows).standings)
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
        counts[left, right][not won] += 1
        votes.append((left, right, float(won), lengths))
    rows = [row(left, right, *numbers) for (left, right), numbers in counts.items()]
    plain = ratings(solving.solve(rows))
    lefts, rights, scores, both = zip(*votes, strict=True)
    sides = [np.column_stack([column, np.zeros((6000, 3))]) for column in zip(*both, strict=True)]
    board = solving.solve(rows, solving.Styled(Outcomes.of(lefts, rights, scores), *sides))
    controlled = ratings(board)
    assert plain["a"] - plain["b"] > 40
    assert abs(controlled["a"] - controlled["b"]) < 20
    assert [effect.name for effect in board.effects] == ["position", "length"]
    assert board.effects[1].low > 0
    assert board.gradient < 1e-8


def test_no_votes_make_an_empty_board():
    assert solving.solve([]).standings == ()
    assert solving.solve([row("a", "b", 0, 0)]).standings == ()


def test_a_chat_model_against_itself_is_left_out():
    assert solving.solve([row("a", "a", 3, 2)]).standings == ()


def test_the_order_of_the_rows_does_not_matter():
    rows = both_ways("a", "b", 5, 3) + both_ways("b", "c", 4, 4)
    assert ratings(solving.solve(rows)) == pytest.approx(ratings(solving.solve(rows[::-1])), abs=1e-6)


def test_it_ranks_real_votes_with_sensible_tiers():
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    with gzip.open(LLMFAO, "rt", encoding="utf-8") as file:
        for vote in csv.DictReader(file):
            counts[vote["left"], vote["right"]][["left", "right", "tie"].index(vote["winner"])] += 1
    board = solving.solve([row(left, right, *numbers) for (left, right), numbers in counts.items()])
    assert (len(board.standings), board.votes, board.gradient < 1e-8) == (59, 8931, True)
    leaders = [standing.name for standing in board.standings[:8]]
    assert "GPT 4" in leaders or "GPT-4" in leaders, leaders
    assert 3 <= board.standings[-1].tier <= 12
    first = solver_1.standings(
        [row(left, right, *numbers) for (left, right), numbers in sorted(counts.items())]
    )
    assert (first[0].name, round(first[0].rating, 3), first[0].tier, first[-1].tier) == (
        "GPT 4",
        1167.55,
        1,
        3,
    )


def test_what_rounding_left_of_a_vote_taken_back_is_no_win():
    """0.1 + 0.2 − 0.1 − 0.2 is not zero: such a rest would make an undefeated chat model look defeated."""
    rest = Counter("a", "b", 5, 0, 0, 0, 5.0, 2.8e-17, 0.0, 5.0, 5.6e-17, 0.0)
    assert solving.solve([rest]) == solving.solve([row("a", "b", 5, 0)])
    assert solving.solve([rest]).unbounded == ("a", "b")


def test_the_left_that_always_wins_is_an_effect_that_stays_finite():
    board = solving.solve([row("a", "b", 9, 0), row("b", "a", 9, 0)])
    assert ratings(board)["a"] == pytest.approx(1000, abs=1e-6)
    assert 200 < board.effects[0].points < 2000


def test_style_of_a_handful_of_votes_gives_a_board_and_no_warning():
    votes = Outcomes.of(["a", "a", "b"], ["b", "b", "a"], [1.0, 1.0, 0.0])
    counts = np.array([[90.0, 1, 0, 0], [80, 0, 2, 0], [10, 0, 0, 3]])
    rows = [row("a", "b", 2, 0), row("b", "a", 0, 1)]
    board = solving.solve(rows, solving.Styled(votes, counts, counts[::-1]))
    assert all(math.isfinite(value) for standing in board.standings for value in standing[1:4])
    assert board.gradient < 1e-8


def test_errors_grow_where_votes_of_one_person_hang_together():
    rows = both_ways("a", "b", 550, 450) + both_ways("b", "c", 550, 450)
    plain = solving.solve(rows)
    wide = solving.solve(rows, widened={"a": 2.0, "b": 2.0, "c": 2.0})
    for one, other in zip(plain.standings, wide.standings, strict=True):
        assert other.rating == one.rating
        assert other.high - other.low == pytest.approx(2 * (one.high - one.low))
    assert wide.standings[-1].rank < plain.standings[-1].rank
    # Who came later gets the middle of the others.
    some = solving.solve(rows, widened={"a": 2.0, "b": 2.0})
    assert some.standings == wide.standings


def test_it_finds_by_how_much_errors_grow():
    votes = made_votes(np.linspace(-1, 1, 8), 6000, seed=2, voters=150, taste=0.8)
    found = solving.widening(votes)
    assert 1.2 < np.median(list(found.factors.values())) < 3
    assert found.kinds == ("voter",)
    assert "who the prompt was" in found.problem
    alone = replace(votes, voter=np.arange(len(votes)))
    assert all(1 <= factor < 1.05 for factor in solving.widening(alone).factors.values())


def test_votes_on_one_prompt_hang_together_as_those_of_one_person_do():
    votes = made_votes(np.linspace(-1, 1, 8), 6000, seed=2, voters=150, taste=0.8)
    nobody = np.arange(len(votes))
    by_person = solving.widening(votes)
    by_prompt = solving.widening(replace(votes, voter=nobody, prompt=votes.voter))
    both = solving.widening(replace(votes, prompt=votes.voter))
    assert by_prompt.kinds == both.kinds == ("voter", "prompt")
    assert list(by_prompt.factors.values()) == pytest.approx(list(by_person.factors.values()), rel=1e-3)
    # The same clusters under two names are counted once.
    assert list(both.factors.values()) == pytest.approx(list(by_person.factors.values()), rel=1e-9)


@pytest.mark.parametrize("kind", ["voter", "prompt"])
def test_too_few_clusters_of_a_kind_leave_the_other(kind):
    votes = made_votes(np.linspace(-1, 1, 8), 2000, seed=2, voters=150, taste=0.8)
    assert votes.voter is not None
    few = votes.voter % 8
    votes = replace(votes, prompt=votes.voter)
    votes = replace(votes, voter=few) if kind == "voter" else replace(votes, prompt=few)
    found = solving.widening(votes)
    assert found.kinds == ({"voter": "prompt", "prompt": "voter"}[kind],)
    assert f"8 different {kind}s" in found.problem
    none = solving.widening(replace(votes, voter=few, prompt=few))
    assert (none.factors, none.kinds) == ({}, ())


def test_the_first_solver_says_what_it_always_said():
    """Computed by the code of its time; see `solver_1`."""
    rows = [
        Counter("a", "b", 5, 0, 0, 0, 1.5, 0, 0, 0.45, 0, 0),
        Counter("b", "a", 3, 0, 0, 0, 3, 0, 0, 3, 0, 0),
        Counter("b", "c", 0, 0, 2, 0, 0, 0, 2, 0, 0, 2),
    ]
    found = [(s.name, *(round(v, 3) for v in s[1:4]), *s[4:]) for s in solver_1.standings(rows)]
    assert found == [
        ("c", 1369.313, 943.851, 1794.776, 1, 1, 2),
        ("b", 827.323, 610.728, 1043.919, 1, 1, 10),
        ("a", 803.363, 404.746, 1201.98, 1, 1, 8),
    ]
    assert solver_1.standings([]) == ()
