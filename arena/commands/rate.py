"""Ratings of a file's votes, as a table or as JSON."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from django.core.management.base import CommandError, CommandParser

from arena.battle_files.reading import outcomes
from arena.commands import Say, files
from arena.ratings import bradley_terry, elo, intervals, separation, style, ties
from arena.ratings.arrays import Floats
from arena.ratings.bradley_terry import Fit
from arena.ratings.intervals import Bootstrap, Intervals
from arena.ratings.pairs import Outcomes, PairCounts

HELP = "Print every chat model's rating and interval."


class Board(NamedTuple):
    """`fit` is None for online Elo, which has no likelihood."""

    models: tuple[str, ...]
    ratings: Floats
    votes: Floats
    bounds: Intervals | None
    how: str
    fit: Fit | None
    effects: tuple[style.Effect, ...] = ()
    notes: tuple[str, ...] = ()


def add_arguments(parser: CommandParser) -> None:
    files.add_file(parser)
    files.add_filters(parser)
    parser.add_argument("--method", choices=("bt", "elo", "style", "style-fastchat"), default="bt")
    parser.add_argument("--anchor", metavar="NAME=RATING", help="Shift all ratings so that NAME has RATING.")
    parser.add_argument("--bootstrap", type=int, default=0, metavar="N", help="Intervals from N resamples.")
    parser.add_argument(
        "--cluster", choices=("voter", "prompt", "both"), help="Votes of one voter (or prompt) hang together."
    )
    parser.add_argument(
        "--position", action="store_true", help="bt: also fit the advantage of the left side."
    )
    parser.add_argument(
        "--ties", choices=("half", *ties.KINDS), default="half",
        help="bt: a tie is half a win for each (default), or a result of its own.",
    )  # fmt: skip
    parser.add_argument("--prior", type=float, help="Standard deviation of a normal prior, in points.")
    parser.add_argument("--level", type=float, default=0.95, help="Of the intervals (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")


def run(options: dict[str, Any], say: Say) -> None:
    _check(options)
    votes, left, right = outcomes(files.votes(options))
    if not len(votes):
        raise CommandError(f"{options['file']}: no votes remain. Votes cast with names in view need --named.")
    board = solve(votes, left, right, options)
    say(json.dumps(as_json(board), indent=2, allow_nan=False) if options["json"] else as_table(board))


def solve(votes: Outcomes, left: Floats | None, right: Floats | None, options: dict[str, Any]) -> Board:
    anchor = files.anchor(options["anchor"])
    if anchor is not None and anchor[0] not in votes.models:
        raise CommandError(f"--anchor: no votes on {anchor[0]}.")
    method = options["method"]
    if method == "elo":
        return _elo(votes, anchor, options)
    if method == "bt" and options["ties"] != "half":
        return _with_ties(ties.fit(PairCounts.of(votes), options["ties"], anchor=anchor), options)
    if method == "bt":
        counts = PairCounts.of(votes)
        fit = bradley_terry.fit(counts, prior=options["prior"], anchor=anchor, position=options["position"])
        return _with_bounds(fit, votes, counts, options)
    if left is None or right is None:
        raise CommandError(
            "--method style needs conv_metadata or the conversations in every row; this file lacks them."
        )
    result = style.fit(
        votes, left, right, method="fastchat" if method == "style-fastchat" else "ours", anchor=anchor
    )
    left_out = tuple(f"{name} never differs and is left out." for name in result.left_out)
    board = _board(result.fit, intervals.of(result.fit, options["level"]), "robust", left_out)
    return board._replace(effects=result.effects)


def as_table(board: Board) -> str:
    """For people, the best first."""
    tiers = separation.separate(board.fit) if board.fit is not None else None
    width = max(map(len, (*board.models, "model")))
    head = f"{'rank':>4}  {'model':<{width}}  {'rating':>7}  {'interval':>16}  {'votes':>8}" + (
        "  tier" if tiers else ""
    )
    lines = [head]
    for index in _order(board):
        low, high = _bounds(board, index)
        interval = "" if low is None or high is None else f"{low:7.1f} – {high:.1f}"
        rank = int(tiers.ranks[index]) if tiers else len(lines)
        tail = f"  {tiers.tiers[index]:>4}" if tiers else ""
        lines.append(
            f"{rank:>4}  {board.models[index]:<{width}}  {board.ratings[index]:7.1f}  {interval:>16}  "
            f"{board.votes[index]:8.0f}{tail}"
        )
    lines.append(f"Intervals: {board.how}." if board.how else "No intervals; ask for --bootstrap N.")
    lines += [
        f"{effect.name}: {effect.points:+.1f} ± {1.96 * effect.error:.1f} points ({effect.coefficient:+.4f})"
        for effect in board.effects
    ]
    return "\n".join([*lines, *board.notes])


def as_json(board: Board) -> dict[str, Any]:
    rows = []
    for index in _order(board):
        low, high = _bounds(board, index)
        rows.append(
            {
                "model": board.models[index],
                "rating": round(float(board.ratings[index]), 6),
                "lower": low,
                "upper": high,
                "votes": float(board.votes[index]),
            }
        )
    made: dict[str, Any] = {"ratings": rows, "intervals": board.how, "notes": list(board.notes)}
    if board.fit is not None:
        made |= {
            "gradient_norm": board.fit.gradient_norm,
            "components": [list(names) for names in board.fit.components],
            "diverging": list(board.fit.diverging),
        }
    if board.effects:
        made["effects"] = [effect._asdict() for effect in board.effects]
    return made


def _check(options: dict[str, Any]) -> None:
    method = options["method"]
    if options["bootstrap"] < 0 or options["bootstrap"] == 1:
        raise CommandError("--bootstrap must be 0 or at least 2.")
    if method.startswith("style") and (options["bootstrap"] or options["cluster"]):
        raise CommandError(
            "--bootstrap and --cluster are for --method bt and elo; style has robust intervals."
        )
    if method != "bt" and (options["position"] or options["prior"] is not None):
        raise CommandError("--position and --prior are for --method bt.")
    if method == "elo" and options["cluster"]:
        raise CommandError("--cluster is for --method bt.")
    if options["ties"] != "half" and (
        method != "bt"
        or options["position"]
        or options["cluster"]
        or options["bootstrap"]
        or options["prior"]
    ):
        raise CommandError("--ties is for --method bt alone; a tie model has robust intervals of its own.")
    if options["position"] and (options["cluster"] or options["bootstrap"]):
        raise CommandError("--position has robust intervals only; leave out --cluster and --bootstrap.")


def _with_bounds(fit: Fit, votes: Outcomes, counts: PairCounts, options: dict[str, Any]) -> Board:
    level, cluster = options["level"], options["cluster"]
    if cluster:
        kinds = {"voter": cluster in ("voter", "both"), "prompt": cluster in ("prompt", "both")}
        fit = intervals.clustered(fit, votes, **kinds)
    if options["bootstrap"]:
        if cluster == "both":
            raise CommandError(
                "--bootstrap resamples one kind of cluster: --cluster voter or --cluster prompt."
            )
        drawn, how = _resampled(votes, counts, options)
        middle = drawn.ratings.mean(axis=1, keepdims=True)
        # Resamples are centred; the board may be anchored.
        shifted = replace(drawn, ratings=drawn.ratings - middle + fit.ratings.mean())
        return _board(fit, shifted.intervals(level), how)
    how = f"robust, clustered by {cluster}" if cluster else "robust"
    position = (
        (
            f"Standing on the left is worth {fit.position:+.1f} ± {1.96 * (fit.position_error or 0.0):.1f} points.",
        )
        if fit.position is not None
        else ()
    )
    return _board(fit, intervals.of(fit, level), how, position)


def _with_ties(found: ties.TieFit, options: dict[str, Any]) -> Board:
    name = {"davidson": "Davidson's ν", "rao-kupper": "Rao and Kupper's δ"}[found.kind]
    note = (
        f"{name} is {found.parameter:.3f} ± {1.96 * found.error:.3f}: two equal chat models tie in "
        f"{found.even:.0%} of their votes."
    )
    return _board(found.fit, intervals.of(found.fit, options["level"]), f"robust, {found.kind}", (note,))


def _resampled(votes: Outcomes, counts: PairCounts, options: dict[str, Any]) -> tuple[Bootstrap, str]:
    rounds, seed, prior, cluster = (options[name] for name in ("bootstrap", "seed", "prior", "cluster"))
    if not cluster:
        return intervals.bootstrap(counts, rounds, seed=seed, prior=prior), f"{rounds} bootstrap rounds"
    column = votes.voter if cluster == "voter" else votes.prompt
    assert column is not None  # `clustered` has refused it before
    drawn = intervals.bootstrap_clustered(votes, column, rounds, seed=seed, prior=prior)
    return drawn, f"{rounds} bootstrap rounds of whole {cluster}s"


def _elo(votes: Outcomes, anchor: tuple[str, float] | None, options: dict[str, Any]) -> Board:
    ratings = elo.online(votes)
    shift = anchor[1] - ratings[votes.models.index(anchor[0])] if anchor else 0.0
    bounds = None
    if options["bootstrap"]:
        drawn = elo.bootstrap(votes, options["bootstrap"], seed=options["seed"])
        bounds = replace(drawn, ratings=drawn.ratings + shift).intervals(options["level"])
    how = f"{options['bootstrap']} bootstrap rounds" if bounds else ""
    return Board(
        votes.models, ratings + shift, PairCounts.of(votes).votes, bounds, how, None,
        notes=("Online Elo depends on the order of the votes.",),
    )  # fmt: skip


def _board(fit: Fit, bounds: Intervals, how: str, notes: tuple[str, ...] = ()) -> Board:
    if fit.diverging:
        notes += (
            f"No finite rating of their own, held by a prior of {fit.prior:.0f} points: {', '.join(fit.diverging)}.",
        )
    if not fit.connected:
        notes += (f"{len(fit.components)} groups never met; ratings compare only within each: "
                  + "; ".join(", ".join(names) for names in fit.components) + ".",)  # fmt: skip
    return Board(fit.models, fit.ratings, fit.votes, bounds, how, fit, notes=notes)


def _order(board: Board) -> list[int]:
    return sorted(range(len(board.models)), key=lambda index: (-board.ratings[index], board.models[index]))


def _bounds(board: Board, index: int) -> tuple[float | None, float | None]:
    if board.bounds is None or not np.isfinite(board.bounds.lower[index]):
        return None, None
    return round(float(board.bounds.lower[index]), 6), round(float(board.bounds.upper[index]), 6)
