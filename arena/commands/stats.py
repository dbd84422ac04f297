"""What is in a file of votes: models, voters, winners, languages, days."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser

from arena.battle_files.rows import BattleRow
from arena.commands import Say, files

HELP = "Count the votes of a file: winners, chat models, voters, languages, days."


def add_arguments(parser: CommandParser) -> None:
    files.add_file(parser)
    files.add_filters(parser)
    parser.add_argument("--json", action="store_true")


def run(options: dict[str, Any], say: Say) -> None:
    found = summary(files.votes(options))
    if options["json"]:
        say(json.dumps(found, indent=2))
        return
    say(f"{found['votes']} votes, {len(found['models'])} chat models, {found['voters']} voters")
    for title in ("winners", "languages", "categories", "days", "models"):
        if found[title]:
            say(f"\n{title}")
            for name, count in found[title].items():
                say(f"{count:>9}  {name}")


def summary(rows: Iterable[BattleRow]) -> dict[str, Any]:
    kinds = ("winners", "languages", "categories", "days", "models")
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    voters, votes = set(), 0
    for row in rows:
        votes += 1
        counts["winners"][row.winner] += 1
        counts["languages"][row.language or "unknown"] += 1
        counts["categories"].update(row.categories)
        counts["models"].update((row.left, row.right))
        if row.when is not None:
            counts["days"][datetime.fromtimestamp(row.when, UTC).date().isoformat()] += 1
        if row.voter:
            voters.add(row.voter)
    found: dict[str, Any] = {"votes": votes, "voters": len(voters)}
    for kind in kinds:
        found[kind] = dict(sorted(counts[kind].items()) if kind == "days" else counts[kind].most_common())
    return found
