"""Every kind of number once more, by another way: plain loops, resampling by hand, enumeration. Nothing is shared
with the code under test but the judgments, which are made up, with errors, ties and inconsistent games among them.
"""

import itertools
import json
import math
import random
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest

from evaluation.formats import fastchat
from evaluation.metrics import agreement, comparison, lengths, scores, wins
from evaluation.records import PairVerdict, Winner
from tests.evaluation.metrics import generated

SINGLE_ROWS, PAIR_ROWS = generated.singles(), generated.pairs()
VOTE_ROWS = generated.votes()


def parsed(read, rows):
    return read([json.dumps(row) for row in rows], "generated.jsonl")


SINGLES = parsed(fastchat.read_single_verdicts, SINGLE_ROWS)
PAIRS = parsed(fastchat.read_pair_verdicts, PAIR_ROWS)
CHARACTERS: lengths.Lengths = {
    (question, name, turn): round(400 * random.Random(f"{question}{name}{turn}").lognormvariate(0, 0.5))
    for question in generated.QUESTIONS
    for name in generated.MODELS
    for turn in (1, 2)
}
# Two bootstraps of 1,000 rounds each differ by chance: a 95 % bound has a standard error of about 7 % of the interval's
# half width, so a fifth of the width is 4 of them. The seeds are fixed.
TOLERANCE = 0.2


def resampled(per_question, statistic, rounds=1000, seed=99):
    """95 % bounds of a statistic of rows, by drawing questions with replacement and pooling their rows."""
    dice = np.random.default_rng(seed)
    values = []
    for _ in range(rounds):
        drawn = dice.integers(0, len(per_question), len(per_question))
        values.append(statistic([row for place in drawn for row in per_question[place]]))
    return np.percentile(values, [2.5, 97.5])


def agrees(estimate, bounds):
    width = bounds[1] - bounds[0]
    return (
        abs(estimate.low - bounds[0]) < TOLERANCE * width
        and abs(estimate.high - bounds[1]) < TOLERANCE * width
    )


def average(values):
    return sum(values) / len(values)


@pytest.mark.parametrize("name", generated.MODELS)
def test_mean_scores_and_their_intervals(name):
    by_question = [
        [r["score"] for r in SINGLE_ROWS if (r["model"], r["question_id"]) == (name, q) and r["score"] != -1]
        for q in generated.QUESTIONS
    ]
    found = next(row.mean for row in scores.mean_scores(SINGLES) if row.chat_model == name)
    assert found.value == pytest.approx(
        average([score for group in by_question for score in group]), abs=1e-12
    )
    assert agrees(found, resampled(by_question, average))


def outcomes(name, opponents=generated.MODELS):
    """1, ½ and 0 for each game of the chat model, question by question; the conservative rule written out."""
    groups = defaultdict(list)
    for row in PAIR_ROWS:
        sides = (row["model_1"], row["model_2"])
        if name not in sides or "error" in (row["g1_winner"], row["g2_winner"]):
            continue
        if (sides[0] if sides[1] == name else sides[1]) not in opponents:
            continue
        mine = "model_1" if sides[0] == name else "model_2"
        both = {row["g1_winner"], row["g2_winner"]}
        groups[row["question_id"]].append(
            1.0 if both == {mine} else 0.5 if len(both) == 2 or "tie" in both else 0.0
        )
    return [groups[question] for question in generated.QUESTIONS]


@pytest.mark.parametrize("name", generated.MODELS)
def test_win_rates_raw_and_adjusted_and_their_intervals(name):
    groups = outcomes(name)
    games = [game for group in groups for game in group]
    found = next(row for row in wins.win_rates(PAIRS) if row.chat_model == name)
    counted = Counter(games)
    assert (found.wins, found.ties, found.losses) == (counted[1.0], counted[0.5], counted[0.0])
    assert found.adjusted.value == pytest.approx(average(games), abs=1e-12)
    assert agrees(found.adjusted, resampled(groups, average))
    raw = resampled(groups, lambda drawn: average([game == 1.0 for game in drawn]))
    assert agrees(found.win_rate, raw)


def logistic_intercept(x, y, ridge=0.01):
    """By plain gradient ascent with a fixed step: slow, and nothing in common with Newton's method."""
    design = np.column_stack([x, np.ones(len(x))])
    weights = np.zeros(2)
    step = 4 / np.linalg.eigvalsh(design.T @ design + 4 * ridge * np.eye(2)).max()
    for _ in range(4000):
        chance = 1 / (1 + np.exp(-design @ weights))
        move = step * (design.T @ (y - chance) - ridge * weights)
        weights += move
        if np.abs(move).max() < 1e-13:
            break
    return weights[1]


@pytest.mark.parametrize("name", ["alpha", "gamma"])
def test_the_rate_at_equal_length_and_its_interval(name):
    groups = defaultdict(list)
    for row in PAIR_ROWS:
        sides = (row["model_1"], row["model_2"])
        if name in sides and "error" not in (row["g1_winner"], row["g2_winner"]):
            other = sides[0] if sides[1] == name else sides[1]
            mine, both = f"model_{sides.index(name) + 1}", {row["g1_winner"], row["g2_winner"]}
            key = (row["question_id"], row["turn"])
            longer = CHARACTERS[key[0], name, key[1]] - CHARACTERS[key[0], other, key[1]]
            score = 1.0 if both == {mine} else 0.5 if len(both) == 2 or "tie" in both else 0.0
            groups[key[0]].append((longer, score))
    rows = np.array([row for group in groups.values() for row in group])
    spread = rows[:, 0].std()

    def rate(drawn):
        table = np.array(drawn)
        return 1 / (1 + math.exp(-logistic_intercept(np.tanh(table[:, 0] / spread), table[:, 1])))

    found = lengths.controlled(PAIRS, CHARACTERS, candidate=name)
    assert found.value == pytest.approx(rate(rows), abs=1e-9)
    # A whole refit in each of 200 resamples, where ours takes one step: bounds of so few are three times as rough.
    low, high = resampled(list(groups.values()), rate, rounds=200)
    assert abs(found.low - low) < 0.3 * (high - low)
    assert abs(found.high - high) < 0.3 * (high - low)


def canonical(row):
    """(question, turn, sorted pair) and the winner's name or tie, as the paper's votes are keyed."""
    winner = {"model_a": row["model_a"], "model_b": row["model_b"]}.get(row["winner"], "tie")
    return (row["question_id"], row["turn"], tuple(sorted((row["model_a"], row["model_b"])))), winner


@pytest.mark.parametrize("ties", [True, False], ids=["S1", "S2"])
def test_agreement_of_judge_and_people_and_of_people_with_each_other(ties):
    people: dict[Any, list[str]] = defaultdict(list)
    judge: dict[Any, list[str]] = defaultdict(list)
    for target, rows in zip((people, judge), VOTE_ROWS, strict=True):
        for row in rows:
            key, winner = canonical(row)
            if ties or winner != "tie":
                target[key].append(winner)
    crossed = [(key[0], a == b) for key in judge for a in judge[key] for b in people.get(key, [])]
    among = [(key[0], a == b) for key in people for a, b in itertools.combinations(people[key], 2)]
    human, gpt4 = (fastchat.read_ballots(rows, "votes.json") for rows in VOTE_ROWS)
    for found, expected in (
        (agreement.between(gpt4, human, ties=ties), crossed),
        (agreement.within(human, ties=ties), among),
    ):
        assert found.pairs == len(expected)
        assert found.rate.value == pytest.approx(average([same for _, same in expected]), abs=1e-12)
        groups = [[same for q, same in expected if q == question] for question in generated.QUESTIONS]
        assert agrees(found.rate, resampled([group for group in groups if group], average))


def differences(candidate, parent, questions):
    """Mean difference of scores, per question, over turns where both have one."""
    score = {(r["model"], r["question_id"], r["turn"]): r["score"] for r in SINGLE_ROWS if r["score"] != -1}
    found = []
    for q in questions:
        both = [t for t in (1, 2) if (candidate, q, t) in score and (parent, q, t) in score]
        if both:
            found.append(average([score[candidate, q, t] - score[parent, q, t] for t in both]))
    return found


@pytest.mark.parametrize(("candidate", "parent"), [("beta", "gamma"), ("delta", "gamma")])
def test_difference_effect_and_p_over_all_questions(candidate, parent):
    means = differences(candidate, parent, generated.QUESTIONS)
    found = comparison.of_scores(SINGLES, candidate=candidate, parent=parent)
    deviation = math.sqrt(sum((d - average(means)) ** 2 for d in means) / (len(means) - 1))
    assert found.questions == len(means)
    assert found.difference.value == pytest.approx(average(means), abs=1e-12)
    assert found.effect == pytest.approx(average(means) / deviation, abs=1e-12)
    assert agrees(found.difference, resampled([[d] for d in means], average))
    # By the normal distribution that the sum of so many flipped signs has; no draws at all.
    z = abs(sum(means)) / math.sqrt(sum(d * d for d in means))
    assert found.p_value == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.3, abs=3e-4)


@pytest.mark.parametrize("amount", [5, 9, 12])
def test_p_over_few_questions_is_that_of_all_patterns_of_signs(amount):
    questions = range(1, amount + 1)
    means = differences("beta", "gamma", questions)
    found = comparison.of_scores(
        [v for v in SINGLES if v.question_id in questions], candidate="beta", parent="gamma"
    )
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, means, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(means))
    ]
    extreme = sum(value >= abs(sum(means)) - 1e-9 for value in sums)
    assert found.p_value == pytest.approx(extreme / len(sums), abs=1e-12)


def test_pairs_of_two_are_compared_by_wins_less_losses_of_each_question():
    means = [average([2 * game - 1 for game in group]) for group in outcomes("alpha", ("beta",)) if group]
    found = comparison.of_pairs(PAIRS, candidate="alpha", parent="beta")
    assert found.questions == len(means)
    assert found.difference.value == pytest.approx(average(means), abs=1e-12)
    assert agrees(found.difference, resampled([[d] for d in means], average))


class TestIntervalsKeepTheirPromise:
    """Of 150 made-up evaluations with a known truth, about 95 % of the intervals hold it. Seeds are fixed.

    150 trials at 95 % have a standard deviation of 1.8 %; percentile intervals of 40 questions lose about 1 %.
    """

    LEAST, MOST = 0.88, 0.995

    def covered(self, trial, truth):
        dice = np.random.default_rng(3)
        inside = 0
        for seed in range(150):
            estimate = trial(dice, seed)
            inside += estimate.low <= truth <= estimate.high
        return inside / 150

    def test_of_an_adjusted_win_rate(self):
        def trial(dice, seed):
            verdicts = []
            for question in range(40):
                taste = dice.normal(0, 0.15)  # the two turns of a question share it
                for turn in (1, 2):
                    roll = dice.random()
                    winner: Winner = (
                        "model_1" if roll < 0.4 + taste else "tie" if roll < 0.6 + taste else "model_2"
                    )
                    verdicts.append(PairVerdict(question, "a", "b", "j", turn, winner, winner))
            return next(
                r.adjusted for r in wins.win_rates(verdicts, rounds=300, seed=seed) if r.chat_model == "a"
            )

        assert self.LEAST <= self.covered(trial, 0.5) <= self.MOST

    def test_of_an_agreement(self):
        def trial(dice, seed):
            ours, theirs = [], []
            for question in range(40):
                shared = min(1.0, max(0.0, dice.normal(0.7, 0.1)))
                for turn in (1, 2):
                    ballot = agreement.Ballot(question, turn, ("a", "b"), "j", "a")
                    ours.append(ballot)
                    winner = "a" if dice.random() < shared else "b"
                    theirs.append(agreement.Ballot(question, turn, ("a", "b"), "p", winner))
            return agreement.between(ours, theirs, ties=True, rounds=300, seed=seed).rate

        assert self.LEAST <= self.covered(trial, 0.7) <= self.MOST
