"""FastChat's files of MT-bench: questions, answers, references, judgments (fastchat/llm_judge, commit 0e6d3e4).

What we have no field for is kept in `extra`, so that a file that is read and written again says the same. A score of
−1 there means that the judge gave none, and is None here.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from evaluation.formats.jsonl import FormatError, Row, rows
from evaluation.metrics.agreement import TIE, Ballot
from evaluation.records import WINNERS, Answer, PairVerdict, Question, QuestionId, SingleVerdict, Winner

T = TypeVar("T")
Key = tuple[object, ...]
NO_SCORE = -1


def read_questions(lines: Iterable[str], source: str) -> list[Question]:
    """Raises `FormatError` for a malformed line and for an id that came before."""
    return list(_unique(lines, source, _question, lambda question: (question.id,)))


def read_answers(lines: Iterable[str], source: str) -> list[Answer]:
    return list(_unique(lines, source, _answer, lambda answer: (answer.question_id, answer.chat_model)))


def read_single_verdicts(lines: Iterable[str], source: str) -> list[SingleVerdict]:
    """A verdict that is there twice (FastChat appends when it is run again) is kept twice; see `newest`."""
    return [_single(row) for row in rows(lines, source)]


def read_pair_verdicts(lines: Iterable[str], source: str) -> list[PairVerdict]:
    return [_pair(row) for row in rows(lines, source)]


def read_ballots(values: object, source: str) -> list[Ballot]:
    """Votes of people (or of GPT-4, converted) from a JSON list, as `compute_agreement.py` reads them."""
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise FormatError(source, 1, "this is not a JSON list of votes")
    return [_ballot(Row(source, number, value)) for number, value in enumerate(values, start=1)]


def is_pair_row(values: dict[str, object]) -> bool:
    return "model_1" in values or "g1_winner" in values


def newest(verdicts: Iterable[T], key: Callable[[T], Key]) -> list[T]:
    """Of verdicts with the same key the last one, in the order in which the keys came first."""
    found: dict[Key, T] = {}
    for verdict in verdicts:
        found[key(verdict)] = verdict
    return list(found.values())


def question_row(question: Question) -> dict[str, object]:
    row: dict[str, object] = {
        "question_id": question.id,
        "category": question.category,
        "turns": list(question.turns),
    }
    if question.reference:
        row["reference"] = list(question.reference)
    return {**row, **question.extra}


def answer_row(answer: Answer) -> dict[str, object]:
    extra = dict(answer.extra)
    first = {"index": 0, "turns": list(answer.turns)}
    return {
        "question_id": answer.question_id,
        **({"answer_id": extra.pop("answer_id")} if "answer_id" in extra else {}),
        "model_id": answer.chat_model,
        "choices": [first, *_list(extra.pop("choices", []))],
        **extra,
    }


def single_row(verdict: SingleVerdict) -> dict[str, object]:
    extra = dict(verdict.extra)
    return {
        "question_id": verdict.question_id,
        "model": verdict.chat_model,
        "judge": [verdict.judge, extra.pop("prompt_name", "")],
        "user_prompt": extra.pop("user_prompt", ""),
        "judgment": verdict.judgment,
        "score": NO_SCORE if verdict.score is None else verdict.score,
        "turn": verdict.turn,
        **extra,
    }


def pair_row(verdict: PairVerdict) -> dict[str, object]:
    extra = dict(verdict.extra)
    return {
        "question_id": verdict.question_id,
        "model_1": verdict.model_1,
        "model_2": verdict.model_2,
        "g1_winner": verdict.g1_winner,
        "g2_winner": verdict.g2_winner,
        "judge": [verdict.judge, extra.pop("prompt_name", "")],
        "g1_user_prompt": extra.pop("g1_user_prompt", ""),
        "g1_judgment": verdict.g1_judgment,
        "g2_user_prompt": extra.pop("g2_user_prompt", ""),
        "g2_judgment": verdict.g2_judgment,
        "turn": verdict.turn,
        **extra,
    }


def _unique(
    lines: Iterable[str], source: str, parse: Callable[[Row], T], key: Callable[[T], Key]
) -> Iterator[T]:
    seen: set[Key] = set()
    for row in rows(lines, source):
        record = parse(row)
        if key(record) in seen:
            name = " of ".join(str(part) for part in key(record))
            raise row.error(f"{name} is there twice; remove one of them")
        seen.add(key(record))
        yield record


def _question(row: Row) -> Question:
    identifier = _question_id(row)
    category = row.take("category", str, "a text") if row.has("category") else ""
    turns = row.take_texts("turns", "a list of texts, one for each turn")
    reference: tuple[str, ...] = ()
    if row.has("reference"):
        reference = row.take_texts("reference", "a list of texts, one for each turn")
    return Question(identifier, category, turns, reference, row.rest)


def _answer(row: Row) -> Answer:
    identifier = _question_id(row)
    chat_model = row.take("model_id", str, "the chat model's name")
    choices = row.take("choices", list, "a list of answers")
    first = choices[0] if choices else None
    turns = first.get("turns") if isinstance(first, dict) else None
    if not isinstance(turns, list) or not turns or not all(isinstance(text, str) for text in turns):
        raise row.error("choices must hold an object with turns, a list of texts")
    extra = row.rest
    if len(choices) > 1:
        extra["choices"] = choices[1:]
    return Answer(identifier, chat_model, tuple(turns), extra)


def _single(row: Row) -> SingleVerdict:
    identifier = _question_id(row)
    chat_model = row.take("model", str, "the chat model's name")
    judge, prompt_name = _judge(row)
    judgment = row.take("judgment", str, "the judge's words") if row.has("judgment") else ""
    score = row.take("score", (int, float), f"a number, or {NO_SCORE} for none")
    turn = _turn(row)
    return SingleVerdict(
        identifier,
        chat_model,
        judge,
        turn,
        None if score == NO_SCORE else score,
        judgment,
        {"prompt_name": prompt_name, **row.rest},
    )


def _pair(row: Row) -> PairVerdict:
    identifier = _question_id(row)
    model_1, model_2 = (row.take(name, str, "a chat model's name") for name in ("model_1", "model_2"))
    g1_winner, g2_winner = (_winner(row, name) for name in ("g1_winner", "g2_winner"))
    judge, prompt_name = _judge(row)
    g1_judgment, g2_judgment = (
        row.take(name, str, "the judge's words") if row.has(name) else ""
        for name in ("g1_judgment", "g2_judgment")
    )
    return PairVerdict(
        identifier,
        model_1,
        model_2,
        judge,
        _turn(row) if row.has("turn") else 1,
        g1_winner,
        g2_winner,
        g1_judgment,
        g2_judgment,
        {"prompt_name": prompt_name, **row.rest},
    )


def _ballot(row: Row) -> Ballot:
    identifier = _question_id(row)
    names = {name: row.take(name, str, "a chat model's name") for name in ("model_a", "model_b")}
    said = row.take("winner", str, "model_a, model_b or a tie")
    if said not in names and "tie" not in said:
        raise row.error(f"winner is {said!r}; it must be model_a, model_b or a tie")
    first, second = sorted(names.values())
    return Ballot(identifier, _turn(row), (first, second), _judge(row)[0], names.get(said, TIE))


def _question_id(row: Row) -> QuestionId:
    identifier: QuestionId = row.take("question_id", (int, str), "a number or a text")
    return identifier


def _judge(row: Row) -> tuple[str, str]:
    value = row.take("judge", (list, str), "[the judge's name, the prompt's name]")
    parts = [value] if isinstance(value, str) else value
    if not parts or not all(isinstance(part, str) for part in parts):
        raise row.error("judge must be [the judge's name, the prompt's name]")
    return parts[0], parts[1] if len(parts) > 1 else ""


def _winner(row: Row, name: str) -> Winner:
    value: Winner = row.take(name, str, f"one of {', '.join(WINNERS)}")
    if value not in WINNERS:
        raise row.error(f"{name} is {value!r}; it must be one of {', '.join(WINNERS)}")
    return value


def _turn(row: Row) -> int:
    turn: int = row.take("turn", int, "1 or higher")
    if turn < 1:
        raise row.error(f"turn is {turn}; it must be 1 or higher")
    return turn


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
