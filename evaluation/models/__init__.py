from evaluation.models.answers import StoredAnswer
from evaluation.models.harness import StoredTaskScore
from evaluation.models.judges import CachedJudgment, Judge
from evaluation.models.runs import EvaluationRun, SuiteSnapshot
from evaluation.models.verdicts import HumanVerdict, StoredVerdict

__all__ = [
    "CachedJudgment",
    "EvaluationRun",
    "HumanVerdict",
    "Judge",
    "StoredAnswer",
    "StoredTaskScore",
    "StoredVerdict",
    "SuiteSnapshot",
]
