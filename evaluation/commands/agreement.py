"""`manage.py evaluate agreement`: how often judges and people agree, and each judge's card. Needs no database."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from evaluation.commands.common import material_of_files
from evaluation.commands.tables import as_json, interval, number, table
from evaluation.formats import fastchat, llmfao
from evaluation.formats.jsonl import FormatError
from evaluation.metrics import calibration, panel
from evaluation.metrics.agreement import Agreement, Ballot
from evaluation.metrics.calibration import Card
from evaluation.metrics.panel import AgreementRow
from evaluation.metrics.resampling import ROUNDS
from evaluation.report.material import Material

HELP = "Say how often judges agree with people and with each other, as the MT-bench paper counts it."
PEOPLE = "people"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--judgments",
        nargs="+",
        default=[],
        metavar="FILE",
        help="FastChat's files of judgments (and of answers, for what length does); folders are searched.",
    )
    parser.add_argument(
        "--votes",
        nargs="+",
        default=[],
        metavar="[NAME=]FILE",
        help="Votes: a JSON list as FastChat has it, or LLMFAO's CSV. They count as people's, or as NAME's.",
    )
    parser.add_argument(
        "--earlier",
        nargs="+",
        default=[],
        metavar="FILE",
        help="The same answers judged before: then the cards tell the drift.",
    )
    parser.add_argument("--turn", type=int, help="Only this turn.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="Of the bootstrap (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0, help="Of the bootstrap (default: %(default)s).")
    parser.add_argument("--json", action="store_true", help="For programs, at full precision.")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    if not options["judgments"] and not options["votes"]:
        raise CommandError("Name files: --judgments FILE… or --votes FILE…, or both.")
    if options["rounds"] < 1:
        raise CommandError("--rounds must be 1 or more.")
    if options["turn"] is not None and options["turn"] < 1:
        raise CommandError("--turn must be 1 or more.")
    if options["earlier"] and not options["judgments"]:
        raise CommandError("--earlier is compared with --judgments; name those too.")
    material = material_of_files(options["judgments"]) if options["judgments"] else None
    kinds = _kinds(material, options)
    rows = panel.agreements(kinds, rounds=options["rounds"], seed=options["seed"])
    cards = _cards(material, kinds.get(PEOPLE, []), options) if material else []
    if not rows and not cards:
        raise CommandError("No two of these judged the same comparison (question, turn and chat models).")
    if options["json"]:
        out.write(as_json({"agreement": rows, "cards": cards}))
        return
    if rows:
        out.write(_agreement(rows))
    for card in cards:
        out.write(_card(card))


def _kinds(material: Material | None, options: dict[str, Any]) -> dict[str, list[Ballot]]:
    """Ballots by who cast them: people together, each judge for itself, and the judges' majority as a panel."""
    kinds: dict[str, list[Ballot]] = {}
    if material:
        judged = [ballot for ballot in map(Ballot.of, material.pairs) if ballot]
        graded = panel.ballots_of_scores(material.singles)
        for suffix, ballots in (("", judged), (" (scores)", graded)):
            judges = sorted({ballot.judge for ballot in ballots})
            for judge in judges:
                kinds[judge + suffix] = [ballot for ballot in ballots if ballot.judge == judge]
            if len(judges) > 2:
                kinds[f"{panel.PANEL} of {len(judges)}{suffix}"] = panel.majority(ballots)
        if people := [ballot for ballot in map(Ballot.of, material.people) if ballot]:
            kinds[PEOPLE] = people
    for source in options["votes"]:
        name, _, path = source.rpartition("=")
        kinds.setdefault(name or PEOPLE, []).extend(_votes(path, name or PEOPLE))
    if options["turn"]:
        kinds = {name: [b for b in ballots if b.turn == options["turn"]] for name, ballots in kinds.items()}
    return kinds


def _votes(path: str, judge: str) -> list[Ballot]:
    try:
        text = Path(path).read_text("utf-8")
        if path.endswith(".csv"):
            return llmfao.read_ballots(text.splitlines(keepends=True), path, judge)
        return fastchat.read_ballots(json.loads(text), path)
    except json.JSONDecodeError as error:
        raise CommandError(f"{path}, line {error.lineno}: this is not JSON ({error.msg})") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path}: this is not UTF-8 text.") from None
    except (OSError, FormatError) as error:
        raise CommandError(str(error)) from None


def _cards(material: Material, people: Sequence[Ballot], options: dict[str, Any]) -> list[Card]:
    earlier = material_of_files(options["earlier"]) if options["earlier"] else None
    lengths = {
        (answer.question_id, answer.chat_model, turn): len(text)
        for answer in material.answers
        for turn, text in enumerate(answer.turns, start=1)
    }
    return [
        calibration.card(
            judge,
            singles=[v for v in material.singles if options["turn"] in (None, v.turn)],
            pairs=[v for v in material.pairs if options["turn"] in (None, v.turn)],
            people=people,
            lengths=lengths,
            earlier=earlier.singles if earlier else material.earlier_singles,
            earlier_pairs=earlier.pairs if earlier else material.earlier_pairs,
            seed=options["seed"],
        )
        for judge in material.judges
    ]


def _agreement(rows: Sequence[AgreementRow]) -> str:
    head = ["", "with ties (S1)", "votes", "kappa", "without ties (S2)", "votes", "kappa"]
    cells = [
        [f"{row.first} – {row.second}", *_shares(row.with_ties), *_shares(row.without_ties)] for row in rows
    ]
    return table("Agreement, with 95 % intervals that resample questions", head, cells)


def _shares(agreement: Agreement) -> list[str]:
    return [interval(agreement.rate, 3), f"{agreement.pairs:.0f}", number(agreement.kappa, 2)]


def _card(card: Card) -> str:
    rows = [["verdicts: scores, pairs, errors", f"{card.singles}, {card.pairs}, {card.errors}"]]
    if card.position:
        rows += [
            ["same verdict in both places", interval(card.position.consistent, 3)],
            ["for whoever came first", interval(card.position.favours_first, 3)],
            ["for whoever came second", interval(card.position.favours_second, 3)],
            ["ties, of all games", interval(card.position.ties, 3)],
        ]
    if card.length:
        rows += [
            ["the longer answer won", interval(card.length.longer_wins, 3)],
            ["chance to win, per doubling of length", interval(card.length.slope, 3)],
        ]
    if card.self_preference:
        rows.append(["points more for its own answers", f"{card.self_preference.excess:+.2f}"])
    if card.with_people:
        rows.append(["agrees with people, ties counted", interval(card.with_people.rate, 3)])
    if card.with_people_decided:
        rows.append(["agrees with people, ties left out", interval(card.with_people_decided.rate, 3)])
    if card.drift:
        rows += [
            ["points more than earlier", interval(card.drift.difference, 2)],
            ["scores that did not change", interval(card.drift.unchanged, 3)],
        ]
    if card.same_pairs:
        rows.append(["pairs that did not change", interval(card.same_pairs, 3)])
    return table(f"Judge {card.judge}", ["", "value"], rows)
