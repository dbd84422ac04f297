"""AlpacaEval's file (`{"instruction", "dataset", "output", "generator"}`; alpaca-eval 0.6.6, alpaca_eval.json).

There are no ids in it: a question's id is its place. The output of the baseline is kept beside the question.
"""

from evaluation.formats.jsonl import Row
from evaluation.records import Question


def question(row: Row, position: int) -> Question:
    instruction = row.take("instruction", str, "the question")
    category = row.take("dataset", str, "where the question comes from") if row.has("dataset") else ""
    return Question(position, category, (instruction,), (), row.rest)
