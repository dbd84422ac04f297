"""What was asked and answered, where a data set keeps it beside its votes: LLMFAO's `pairs-crowd.jsonl`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from arena.battle_files import shapes
from arena.battle_files.reading import records
from arena.battle_files.rows import BadFile, BattleRow
from arena.ratings.categories import Turn

Answers = Mapping[str, Mapping[str, Any]]


def read_answers(path: Path) -> Answers:
    """Pairs by their id. Raises `BadFile`."""
    found = {}
    for line, row in records(path):
        if not {"id", "text", "result_x", "result_y"} <= row.keys():
            raise BadFile(path, line, "a pair needs id, text, result_x and result_y.")
        found[str(row["id"])] = row
    return found


def with_answers(vote: BattleRow, known: Answers) -> BattleRow:
    """With the texts of the pair it is on. LLMFAO's `model_x` is the one named on the left."""
    pair = known.get(str(vote.extra.get("item", "")))
    if pair is None or vote.turns:
        return vote
    turns = (Turn(str(pair["text"]), str(pair["result_x"]), str(pair["result_y"])),)
    kind = str(pair.get("type") or "")
    return replace(
        vote,
        turns=turns,
        prompt=turns[0].prompt,
        style=shapes.from_turns(turns),
        categories=(kind,) if kind else vote.categories,
    )
