"""Arena-Hard's judgments (github.com/lmarena/arena-hard-auto, v2.0 `model_judgment/…`) as pair verdicts, and back.

In the first game the baseline is A, in the second the chat model is. A score of `A>>B` is a win like `A>B` here; the
row itself is kept, so that it can be written again as it was. No score is an error.
"""

from collections.abc import Iterable
from typing import Any

from evaluation.formats.jsonl import Row, rows
from evaluation.records import PairVerdict, Winner

SCORES: dict[str, tuple[Winner, Winner]] = {
    # (A is model_1, A is model_2)
    "A>>B": ("model_1", "model_2"),
    "A>B": ("model_1", "model_2"),
    "A=B": ("tie", "tie"),
    "B=A": ("tie", "tie"),
    "B>A": ("model_2", "model_1"),
    "B>>A": ("model_2", "model_1"),
}
"""What the words of a game mean for who was shown as A."""


def read_pair_verdicts(lines: Iterable[str], source: str) -> list[PairVerdict]:
    """Raises `FormatError` for a line that cannot be used."""
    return [_verdict(row) for row in rows(lines, source)]


def row(verdict: PairVerdict) -> dict[str, object]:
    """The row that the verdict came from."""
    extra = dict(verdict.extra)
    return {
        "uid": verdict.question_id,
        "category": extra.pop("category", ""),
        "judge": verdict.judge,
        "model": verdict.model_2,
        "baseline": verdict.model_1,
        **extra,
    }


def _verdict(row: Row) -> PairVerdict:
    uid = row.take("uid", (str, int), "the question's id")
    model, baseline = (row.take(name, str, "a chat model's name") for name in ("model", "baseline"))
    if model == baseline:
        raise row.error(f"model and baseline are both {model!r}")
    judge = row.take("judge", str, "the judge's name")
    games = row.take("games", list, "a list of two games")
    if len(games) != 2:
        raise row.error(f"games has {len(games)} games; it must have two, with the places swapped")
    first, second = (_winner(row, game, place) for place, game in enumerate(games))
    extra = {**row.rest, "games": games}
    said = [_words(game) for game in games]
    return PairVerdict(uid, baseline, model, judge, 1, first, second, said[0], said[1], extra)


def _words(game: dict[str, object] | None) -> str:
    words = (game or {}).get("judgment")
    return words if isinstance(words, str) else ""


def _winner(row: Row, game: Any, place: int) -> Winner:
    if game is None:  # a call that failed
        return "error"
    if not isinstance(game, dict):
        raise row.error(f"game {place + 1} must be an object with a score")
    score = game.get("score")
    if score is None:
        return "error"
    if not isinstance(score, str) or score not in SCORES:
        raise row.error(f"game {place + 1} has the score {score!r}; it must be one of {', '.join(SCORES)}")
    return SCORES[score][place]
