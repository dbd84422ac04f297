from evaluation.models.answers import StoredAnswer
from evaluation.models.judges import CachedJudgment, Judge
from evaluation.models.runs import EvaluationRun, SuiteSnapshot
from evaluation.models.verdicts import HumanVerdict, StoredVerdict

__all__ = [
    "CachedJudgment",
    "EvaluationRun",
    "HumanVerdict",
    "Judge",
    "StoredAnswer",
    "StoredVerdict",
    "SuiteSnapshot",
]
