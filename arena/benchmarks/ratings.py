"""`manage.py benchmark ratings`: the ratings of a million made battles, beside FastChat's code where it is installed.

Every step is timed on its own, best of `--repeat`; each of FastChat's functions runs once, at its defaults. Targets:
100 bootstrap rounds at least 20 × and style control at least 8 × as fast as FastChat, a solve in less than 10 ms.
"""

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from arena.benchmarks import fastchat
from arena.ratings import bradley_terry, elo, intervals, separation, style
from arena.ratings.arrays import Floats
from arena.ratings.pairs import Outcomes, PairCounts

HELP = "Ratings of a million battles, beside FastChat's rating_systems.py where it is installed."
SOLVE_LIMIT = 0.010  # seconds
# Measured on two cores with FastChat 2bdb2e0 at its defaults, one million battles, 60 models: the lower ends.
FASTCHAT_SECONDS = {"bootstrap": 5.8, "style": 5.6}
FACTORS = {"bootstrap": 20.0, "style": 8.0}

Say = Callable[[str], None]


class Made(NamedTuple):
    votes: Outcomes
    left: Floats  # (n, 4) style counts
    right: Floats


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--battles", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-fastchat", action="store_true", help="Do not run FastChat even if it is there.")


def measure(options: dict[str, Any], say: Say) -> bool:
    """Print a row per step; whether every target holds. Targets are for a million battles of 60 models."""
    if options["battles"] < 1000 or not 2 <= options["models"] <= 1000 or options["repeat"] < 1:
        raise ValueError("--battles must be at least 1000, --models between 2 and 1000, --repeat at least 1.")
    made = make(options["battles"], options["models"])
    say(f"{options['battles']:,} battles of {options['models']} models; best of {options['repeat']}")
    repeat = options["repeat"]
    counts, aggregate = timed(lambda: PairCounts.of(made.votes), repeat)
    fit, solve = timed(lambda: bradley_terry.fit(counts), repeat)
    _, boot = timed(lambda: intervals.bootstrap(counts, 100), repeat)
    tiers, compare = timed(lambda: separation.separate(fit), repeat)
    styled, control = timed(lambda: style.fit(made.votes, made.left, made.right), repeat)
    _, online = timed(lambda: elo.online(made.votes), 1)
    for name, seconds in (
        ("aggregate votes to pairs", aggregate),
        ("solve Bradley–Terry with robust intervals", solve),
        ("100 bootstrap rounds", boot),
        ("all pairs compared at once", compare),
        ("style control with position", control),
        ("online Elo", online),
    ):
        say(f"{seconds * 1000:>10.1f} ms  {name}")
    say(f"{memory_mib():>10.0f} MiB peak, {size_mib(made):.0f} of it the votes and their style counts")
    say(
        f"gradient {fit.gradient_norm:.1e} and {styled.fit.gradient_norm:.1e}; "
        f"{100 * tiers.separated_share():.0f} % of pairs told apart"
    )
    theirs: dict[str, float] = dict(FASTCHAT_SECONDS)
    if fastchat.installed() and not options["no_fastchat"]:
        found = fastchat.measured(options["battles"], options["models"])
        gap = max(abs(fit.rating(name) - found["ratings"][name]) for name in fit.models)
        say(f"FastChat: solve {found['plain']:.2f} s, ratings at most {gap:.3f} points from ours")
        theirs = {name: found[name] for name in theirs}
    else:
        say("FastChat is not installed here: compared with its times as measured earlier on two cores.")
    holds = solve < SOLVE_LIMIT and fit.gradient_norm < 1e-8 and styled.fit.gradient_norm < 1e-8
    for name, ours in (("bootstrap", boot), ("style", control)):
        factor = theirs[name] / ours
        say(f"{factor:>10.1f} ×   {name} (FastChat {theirs[name]:.1f} s; wanted {FACTORS[name]:.0f} ×)")
        holds = holds and factor >= FACTORS[name]
    return holds


def make(battles: int, models: int) -> Made:
    """Uneven exposure, about 19 % ties, four style features of which length matters. Always the same votes."""
    rng = np.random.default_rng(20231207)
    share = rng.dirichlet(np.full(models, 2.0))
    left = rng.choice(models, size=battles, p=share)
    right = (left + 1 + rng.integers(models - 1, size=battles)) % models
    truth = rng.normal(0.0, 0.6, models)
    counts = [rng.poisson((250, 2, 5, 4), size=(battles, 4)).astype(np.float64) for _ in range(2)]
    gap = truth[left] - truth[right] + 2.0 * style.differences(*counts)[:, 0]
    score = (rng.random(battles) < 1.0 / (1.0 + np.exp(-gap))).astype(np.float64)
    score[rng.random(battles) < 0.186] = 0.5
    names = tuple(f"model-{index:03d}" for index in range(models))
    votes = Outcomes(names, left.astype(np.int64), right.astype(np.int64), score, np.ones(battles))
    return Made(votes, *counts)


def timed(work: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """The result, and the shortest time in seconds."""
    best, result = math.inf, None
    for _ in range(repeat):
        started = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - started)
    return result, best


def memory_mib() -> float:
    """Peak resident memory of this process. Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def size_mib(made: Made) -> float:
    arrays = (
        *(getattr(made.votes, name) for name in ("left", "right", "score", "weight")),
        made.left,
        made.right,
    )
    return float(sum(array.nbytes for array in arrays)) / 2**20
