"""`manage.py evaluate show`: numbers from files of judgments. Needs no database."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.commands.common import material_of_files
from evaluation.commands.tables import as_json, interval, number, table
from evaluation.metrics import biases, lengths, summary
from evaluation.metrics.resampling import LEVEL, ROUNDS, Estimate
from evaluation.metrics.scores import ScoreRow
from evaluation.metrics.summary import Table
from evaluation.metrics.wins import WinRow
from evaluation.records import PairVerdict, SingleVerdict
from evaluation.report.material import Material

HELP = "Summarise FastChat's files of judgments: scores or win rates with intervals, by turn and category."
MODES = ("single", "pairwise-all", "pairwise-baseline")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, default="single")
    parser.add_argument(
        "--judgments",
        nargs="+",
        required=True,
        metavar="FILE",
        help="JSON lines with single or pair judgments. Add question.jsonl for numbers by category, and the files of "
        "model_answer for what length does; folders are searched.",
    )
    parser.add_argument("--baseline", help="The chat model that all are compared with (pairwise-baseline).")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="Only these chat models.")
    parser.add_argument("--judge", help="Only this judge's verdicts.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="Of the bootstrap (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0, help="Of the bootstrap (default: %(default)s).")
    parser.add_argument("--json", action="store_true", help="For programs, at full precision.")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    _check(options)
    material = material_of_files(options["judgments"])
    show = _singles if options["mode"] == "single" else _pairs
    result = show(material, options)
    if options["json"]:
        out.write(as_json({"mode": options["mode"], "level": LEVEL, **result}))
        return
    for text in _texts(result):
        out.write(text)


def _check(options: dict[str, Any]) -> None:
    if options["rounds"] < 1:
        raise CommandError("--rounds must be 1 or more.")
    if (options["mode"] == "pairwise-baseline") != bool(options["baseline"]):
        raise CommandError("--baseline NAME and --mode pairwise-baseline belong together.")


def _singles(material: Material, options: dict[str, Any]) -> dict[str, Any]:
    verdicts = [
        verdict
        for verdict in material.singles
        if _wanted(options, verdict.judge, [verdict.chat_model], every=True)
    ]
    _some(verdicts, "single", options)
    tables = summary.of_singles(verdicts, _categories(material), **_bootstrap(options))
    return {"judges": _judges(verdicts), "tables": tables}


def _pairs(material: Material, options: dict[str, Any]) -> dict[str, Any]:
    baseline = options["baseline"]
    verdicts = [
        verdict
        for verdict in material.pairs
        if _wanted(options, verdict.judge, [verdict.model_1, verdict.model_2], every=not baseline)
        and (not baseline or baseline in (verdict.model_1, verdict.model_2))
    ]
    _some(verdicts, "pair", options)
    found = summary.of_pairs(verdicts, _categories(material), baseline=baseline, **_bootstrap(options))
    result: dict[str, Any] = {"judges": _judges(verdicts), "tables": found.tables}
    if found.ratings:
        result["ratings"] = found.ratings
    result["position"] = biases.position(verdicts, seed=options["seed"])
    if sizes := _lengths(material):
        result["length"] = lengths.effect(verdicts, sizes, seed=options["seed"])
        result["length_controlled"] = {
            row.chat_model: lengths.controlled(
                verdicts, sizes, candidate=row.chat_model, **_bootstrap(options)
            )
            for row in found.tables[0].rows
        }
    return result


def _wanted(options: dict[str, Any], judge: str, models: Sequence[str], *, every: bool) -> bool:
    if options["judge"] and judge != options["judge"]:
        return False
    if not options["models"]:
        return True
    return (all if every else any)(name in options["models"] for name in models)


def _some(verdicts: Sequence[object], kind: str, options: dict[str, Any]) -> None:
    if not verdicts:
        chosen = [f"--{name}" for name in ("models", "judge", "baseline") if options[name]]
        reason = f" with these {', '.join(chosen)}" if chosen else ""
        raise CommandError(
            f"There are no {kind} judgments in the files{reason}. --mode {options['mode']} reads those; see --help."
        )


def _bootstrap(options: dict[str, Any]) -> dict[str, int]:
    return {"rounds": options["rounds"], "seed": options["seed"]}


def _categories(material: Material) -> summary.Categories:
    return {question.id: question.category for question in material.questions}


def _judges(verdicts: Sequence[SingleVerdict] | Sequence[PairVerdict]) -> list[str]:
    return sorted({verdict.judge for verdict in verdicts})


def _lengths(material: Material) -> lengths.Lengths:
    return {
        (answer.question_id, answer.chat_model, turn): len(text)
        for answer in material.answers
        for turn, text in enumerate(answer.turns, start=1)
    }


def _texts(result: dict[str, Any]) -> list[str]:
    texts = [f"Judged by {', '.join(result['judges'])}. In brackets: 95 % intervals that resample questions."]
    texts += [_table(part) for part in result["tables"]]
    if "ratings" in result:
        rows = [
            [row.chat_model, interval(row.rating, 0), str(row.verdicts), "undecided" if row.undecided else ""]
            for row in result["ratings"]
        ]
        texts.append(table("Bradley–Terry, points", ["chat model", "rating", "verdicts", ""], rows))
    if "position" in result:
        texts.append(_position(result["position"]))
    if "length" in result:
        texts.append(_length(result["length"], result["length_controlled"]))
    return texts


def _table(part: Table[ScoreRow] | Table[WinRow]) -> str:
    title = f"Turn {part.turn}" if part.turn else part.category or "All"
    if isinstance(part.rows[0], ScoreRow):
        head = ["chat model", "score", "verdicts", "errors"]
        return table(title, head, [_score(row) for row in part.rows if isinstance(row, ScoreRow)])
    head = ["chat model", "win rate, ties ½", "win rate", "loss rate", "wins", "losses", "ties", "errors"]
    return table(title, head, [_win(row) for row in part.rows if isinstance(row, WinRow)])


def _score(row: ScoreRow) -> list[str]:
    return [row.chat_model, interval(row.mean, 2), str(row.verdicts), str(row.errors)]


def _win(row: WinRow) -> list[str]:
    counts = [str(count) for count in (row.wins, row.losses, row.ties, row.errors)]
    rates = [interval(row.adjusted, 3), interval(row.win_rate, 3), number(row.loss_rate, 3)]
    return [row.chat_model, *rates, *counts]


def _position(report: biases.PositionReport) -> str:
    rows = [
        ["the same in both places", interval(report.consistent, 3)],
        ["for whoever came first", interval(report.favours_first, 3)],
        ["for whoever came second", interval(report.favours_second, 3)],
        ["ties, of all games", interval(report.ties, 3)],
    ]
    return table(f"Places ({report.verdicts} verdicts, {report.errors} errors)", ["verdicts", "share"], rows)


def _length(report: lengths.LengthReport, controlled: dict[str, Estimate]) -> str:
    rows = [
        ["the longer answer won", interval(report.longer_wins, 3)],
        ["chance to win, per doubling of length", interval(report.slope, 3)],
        *([f"win rate of {name} at equal length", interval(rate, 3)] for name, rate in controlled.items()),
    ]
    return table(f"Length ({report.verdicts} verdicts)", ["", "value"], rows)
