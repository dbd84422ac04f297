"""What one rank costs an attacker, on a file's votes or on a made board."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from arena.battle_files.reading import outcomes
from arena.commands import Say, files
from arena.ratings import attacks, bradley_terry
from arena.ratings.arrays import POINTS
from arena.ratings.attacks import Attacker, Flood, Price
from arena.ratings.pairs import Outcomes, PairCounts

HELP = "Attack a board: what one rank costs in votes, with and without our defences."
MADE_MODELS, MADE_VOTES, MADE_VOTERS = 20, 10_000, 500
RANKS = (("by rating", attacks.rank_by_rating), ("beyond doubt", attacks.rank_beyond_doubt))


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", help="Honest votes. Without it a board is made.")
    parser.add_argument("--format", help="Told from the first row unless given.")
    files.add_filters(parser)
    parser.add_argument("--target", help="Who is to rise (default: the one in the middle of the board).")
    parser.add_argument("--attack", choices=("all", *attacks.KINDS, "clones"), default="all")
    parser.add_argument("--recognises", type=float, default=0.95, help="Chance to know who answers.")
    parser.add_argument(
        "--per-account", type=int, default=settings.ARENA_VOTES_PER_USER,
        help="Votes of one account (default: what the site counts of one in a day, %(default)s).",
    )  # fmt: skip
    parser.add_argument("--most", type=int, default=5000, help="Votes that are tried (default: %(default)s).")
    parser.add_argument("--clones", type=int, default=8, help="Clones that are tried (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")


def run(options: dict[str, Any], say: Say) -> None:
    if not 1 <= options["most"] <= 1_000_000 or not 1 <= options["clones"] <= 100:
        raise CommandError("--most must be between 1 and 1000000, --clones between 1 and 100.")
    honest = _honest(options)
    fit = bradley_terry.fit(PairCounts.of(honest))
    order = [fit.models[index] for index in fit.order()]
    target = options["target"] or order[len(order) // 2]
    if target not in order:
        raise CommandError(f"--target: no votes on {target}.")
    found: dict[str, Any] = {"target": target, "models": len(order), "votes": len(honest), "attacks": []}
    for kind in attacks.KINDS:
        if options["attack"] in ("all", kind):
            found["attacks"] += _prices(
                honest, Attacker(kind, target, options["recognises"], options["per_account"]), options
            )
    if options["attack"] in ("all", "clones"):
        votes = round(2 * len(honest) / len(order))
        flood = attacks.flood(fit, target, clones=options["clones"], votes=votes, seed=options["seed"])
        found["clones"] = _flooded(flood)
    say(json.dumps(found, indent=2) if options["json"] else as_table(found))


def as_table(found: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{found['target']} among {found['models']} chat models with {found['votes']} honest votes"]
    if found["attacks"]:
        lines.append(f"{'attack':<12}  {'rank':<12}  {'defences':<8}  {'price of one rank'}")
    for row in found["attacks"]:
        if row["votes"] is None:
            cost = f"not to be had for {row['tried']} votes" if row["rank_before"] > 1 else "is first already"
        else:
            cost = f"{row['votes']} votes of {row['accounts']} accounts, in {row['battles']} battles"
        if row["found"]:
            cost += f"; {row['found']} accounts found"
        lines.append(f"{row['attack']:<12}  {row['rank']:<12}  {row['defences']:<8}  {cost}")
    if "clones" in found:
        for name, ranks in found["clones"].items():
            needed = ranks["clones_for_a_rank"]
            best = " ".join(f"{rank:.1f}" for rank in ranks["best_rank"])
            cost = f"{needed} clones" if needed is not None else "not to be had for that many clones"
            lines.append(
                f"{'clones':<12}  {name:<12}  {'–':<8}  {cost}; the best one's rank with 0, 1, …: {best}"
            )
    return "\n".join(lines)


def _prices(honest: Outcomes, attacker: Attacker, options: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, rank in RANKS:
        for defended in (False, True):
            paid = attacks.price(
                honest, attacker, most=options["most"], rank=rank, defended=defended, seed=options["seed"]
            )
            rows.append(_row(attacker, name, paid, defended=defended))
    return rows


def _row(attacker: Attacker, rank: str, paid: Price, *, defended: bool) -> dict[str, Any]:
    return {
        "attack": attacker.kind, "rank": rank, "defences": "with" if defended else "without",
        "rank_before": paid.rank, "votes": paid.votes, "battles": paid.battles, "accounts": paid.accounts,
        "found": paid.found, "tried": paid.tried,
    }  # fmt: skip


def _flooded(flood: Flood) -> dict[str, Any]:
    return {
        name: {"best_rank": list(ranks), "clones_for_a_rank": flood.clones_for_a_rank(ranks)}
        for name, ranks in (("by rating", flood.by_rating), ("beyond doubt", flood.published))
    }


def _honest(options: dict[str, Any]) -> Outcomes:
    if options["file"] is None:
        return _made(np.random.default_rng(options["seed"]))
    votes, _, _ = outcomes(files.votes(options))
    if len(votes.models) < 3:
        raise CommandError(f"{options['file']}: an attack needs votes on at least three chat models.")
    return votes


def _made(rng: np.random.Generator) -> Outcomes:
    """Twenty chat models from 1,200 points down to 800, and voters who agree about them."""
    truth = np.linspace(200, -200, MADE_MODELS) / POINTS
    left = rng.integers(MADE_MODELS, size=MADE_VOTES)
    right = (left + 1 + rng.integers(MADE_MODELS - 1, size=MADE_VOTES)) % MADE_MODELS
    won = rng.random(MADE_VOTES) < 1 / (1 + np.exp(truth[right] - truth[left]))
    names = tuple(f"model-{index + 1:02}" for index in range(MADE_MODELS))
    voters = rng.integers(MADE_VOTERS, size=MADE_VOTES)
    return Outcomes(names, left, right, won.astype(np.float64), np.ones(MADE_VOTES), voter=voters)
