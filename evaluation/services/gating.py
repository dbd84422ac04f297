"""May a new chat model take its parent's place? One sentence and a yes or no, for CI and for the fine-tune loop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.errors import CannotEvaluate
from evaluation.metrics import comparison
from evaluation.metrics.comparison import Comparison
from evaluation.models import EvaluationRun
from evaluation.records import PairVerdict, SingleVerdict
from evaluation.report.material import Material

ALPHA = 0.05
# Of a run's verdicts on the two chat models: with more than that missing, what is left may say anything.
MOST_ERRORS = 0.2


@dataclass(frozen=True, slots=True)
class Gate:
    passed: bool
    reason: str
    comparison: Comparison
    unit: str


def decide(
    *, run: EvaluationRun, material: Material, candidate: str, parent: str, min_effect: float = 0.0
) -> Gate:
    """Compare the two on the questions that both were judged on.

    `min_effect` is in points of score for single verdicts, in (wins − losses) ÷ games for pairs. Above 0 it asks for
    an improvement of at least so much that is no chance (p below 0.05); 0 or below for no loss of more than so much.
    Raises `CannotEvaluate` when the run cannot tell.
    """
    if not math.isfinite(min_effect):
        raise CannotEvaluate("min_effect", "min-effect: say a number, for example 0.3.")
    if candidate == parent:
        raise CannotEvaluate("candidate", "Candidate and parent are the same chat model.")
    single = run.mode == EvaluationRun.Mode.SINGLE
    verdicts: Sequence[SingleVerdict] | Sequence[PairVerdict]
    if single:
        verdicts = [v for v in material.singles if v.chat_model in (candidate, parent)]
        errors = sum(v.score is None for v in verdicts)
        compared = comparison.of_scores(verdicts, candidate=candidate, parent=parent)
    else:
        verdicts = [v for v in material.pairs if {v.model_1, v.model_2} == {candidate, parent}]
        errors = sum(v.winner == "error" for v in verdicts)
        compared = comparison.of_pairs(verdicts, candidate=candidate, parent=parent)
    if not compared.questions:
        raise CannotEvaluate("run", f"No question has a verdict on both {candidate} and {parent}.")
    if errors > MOST_ERRORS * len(verdicts):
        raise CannotEvaluate(
            "run",
            f"{errors} of {len(verdicts)} judgments gave no verdict: too many to tell. Go on with "
            f"evaluate run --resume {str(run.pk)[:8]} --retry-errors, or take a better judge.",
        )
    passed, reason = _passes(compared, min_effect)
    return Gate(passed, reason, compared, "points" if single else "of the games")


def _passes(compared: Comparison, min_effect: float) -> tuple[bool, str]:
    difference = compared.difference.value
    if difference < min_effect:
        return False, f"the difference is below {min_effect:+g}"
    if min_effect > 0 and compared.p_value >= ALPHA:
        return False, f"an improvement by chance is not ruled out (p is not below {ALPHA:g})"
    return True, f"the difference is {min_effect:+g} or more"
