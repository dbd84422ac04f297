"""Which verdicts a run wants: pure arithmetic on names and questions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from evaluation.models import EvaluationRun, StoredVerdict
from evaluation.records import Question

Mode = EvaluationRun.Mode


@dataclass(frozen=True, slots=True)
class Game:
    """One call to a judge. `model_2` is "" for a single verdict; in game 2 it is shown first."""

    judge: str
    question_id: str
    turn: int
    """From 1."""
    model_1: str
    model_2: str = ""
    game: int = 1

    @property
    def kind(self) -> str:
        return StoredVerdict.Kind.PAIR if self.model_2 else StoredVerdict.Kind.SINGLE


def pairs(mode: str, chat_models: Sequence[str], baseline: str) -> list[tuple[str, str]]:
    """(model_1, model_2); in single mode model_2 is ""."""
    if mode == Mode.SINGLE:
        return [(name, "") for name in chat_models]
    if mode == Mode.PAIRWISE_BASELINE:
        return [(name, baseline) for name in chat_models if name != baseline]
    return list(combinations(chat_models, 2))


def wanted(
    *,
    mode: str,
    chat_models: Sequence[str],
    baseline: str,
    judges: Sequence[str],
    questions: Sequence[Question],
) -> Iterator[Game]:
    """Every game of a run, question by question, so that a run that was cut short compares what it has."""
    matches = pairs(mode, chat_models, baseline)
    games = (1,) if mode == Mode.SINGLE else (1, 2)
    for question in questions:
        for turn in range(1, len(question.turns) + 1):
            for model_1, model_2 in matches:
                for judge in judges:
                    for game in games:
                        yield Game(judge, str(question.id), turn, model_1, model_2, game)


def count(
    *,
    mode: str,
    chat_models: Sequence[str],
    baseline: str,
    judges: Sequence[str],
    questions: Sequence[Question],
) -> int:
    turns = sum(len(question.turns) for question in questions)
    return turns * len(pairs(mode, chat_models, baseline)) * len(judges) * (1 if mode == Mode.SINGLE else 2)
