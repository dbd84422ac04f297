"""FastChat keeps reference answers in a folder of their own, `reference_answer/<judge>.jsonl` beside `question.jsonl`.

Thirteen of MT-bench's thirty references (GPT-4's own answers) are reported to be wrong: FastChat pull request 3158. A
judge that is told to trust them punishes right answers, so they are left out, by the id of the answer: a corrected file
counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from evaluation.records import Answer, Question, QuestionId

REPORTED_WRONG = {
    104: "R3CL3as5EQPJ25sC4E26fL",
    105: "Eybkkrhq4wRjEx83CEzZx8",
    109: "MAAyYhUQHucgwafVCwBS3m",
    111: "NJPTPe2PZ7547UMekB9kBM",
    113: "Cr2dJDVXKARY4a3CdeYV85",
    114: "8o3RVi7vGbhRGuN38m7eXb",
    120: "NbJahXyyirJ8KKfaMXY6SC",
    122: "k3DDMNG9SFBxdzBr6g3VRF",
    124: "9Zpf8G2Fzt6nGJubsPLcRz",
    125: "P8BsTS9cZtrPYD59ky4cPw",
    126: "EURwBVADp4nAoxMuetcicm",
    128: "BMZdfLQQke8d9j78rSmLsf",
    130: "B39HvvzTyw5gGQKqNFH6Ed",
}
"""Question id → id of the answer."""


def attach(
    questions: Sequence[Question], answers: Iterable[Answer]
) -> tuple[list[Question], list[QuestionId]]:
    """The questions with their references, and the ids of those whose reference is reported wrong and was left out.

    A question that has a reference in its own line keeps it where the answers have none to offer.
    """
    offered = {str(answer.question_id): answer for answer in answers}
    found, wrong = [], []
    for question in questions:
        answer = offered.get(str(question.id))
        if answer and _is_reported_wrong(answer):
            wrong.append(question.id)
        elif answer:
            question = replace(question, reference=answer.turns)
        found.append(question)
    return found, wrong


def _is_reported_wrong(answer: Answer) -> bool:
    answer_id = answer.extra.get("answer_id")
    return isinstance(answer.question_id, int) and REPORTED_WRONG.get(answer.question_id) == answer_id
