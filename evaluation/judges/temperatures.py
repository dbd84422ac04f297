"""How freely a question of a category is answered: MT-bench's table (fastchat/llm_judge/common.py, commit 0e6d3e4)."""

from evaluation.records import Question

DEFAULT = 0.7
BY_CATEGORY = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "maths": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
    "arena-hard-200": 0.0,
}


def of(question: Question) -> float:
    """The question's own `required_temperature`, else its category's."""
    required = question.extra.get("required_temperature")
    if isinstance(required, int | float) and not isinstance(required, bool):
        return float(required)
    return BY_CATEGORY.get(question.category.lower(), DEFAULT)
