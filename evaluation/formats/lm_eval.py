"""Results of lm-evaluation-harness (EleutherAI, version 0.4): the file `results_….json` that `--output_path` asks for.

`results` maps a task to its numbers under `METRIC,FILTER` and `METRIC_stderr,FILTER`; `n-samples`, `versions` and
`higher_is_better` say more about each task. A standard error of "N/A" means that there is none.
"""

import math
from collections.abc import Mapping
from typing import Any

from evaluation.formats.jsonl import Row
from evaluation.records import TaskScore

STDERR = "_stderr"
NO_FILTER = "none"


def read_results(values: object, *, source: str, chat_model: str) -> list[TaskScore]:
    """Every number of every task. Raises ValueError naming `source` when this is no such file."""
    if not isinstance(values, dict) or not isinstance(values.get("results"), dict):
        raise ValueError(f"{source}: this is no file of results of lm-evaluation-harness.")
    found = []
    for task, numbers in values["results"].items():
        if not isinstance(numbers, dict):
            raise ValueError(f"{source}: the results of {task} are no JSON object.")
        found += [
            _score(values, chat_model, task, name, numbers) for name in numbers if _is_metric(name, numbers)
        ]
    return found


def row(score: TaskScore) -> dict[str, object]:
    """A line of our own file of task scores."""
    return {
        "model_id": score.chat_model,
        "task": score.task,
        "metric": score.metric,
        "value": score.value,
        "stderr": score.stderr,
        "samples": score.samples,
        "higher_is_better": score.higher_is_better,
        "version": score.version,
    }


def of_row(line: Row) -> TaskScore:
    value = line.take("value", (int, float), "a number")
    optional = {
        name: line.rest.pop(name, None) for name in ("stderr", "samples", "higher_is_better", "version")
    }
    return TaskScore(
        chat_model=line.take("model_id", str, "the chat model's name"),
        task=line.take("task", str, "the task's name"),
        metric=line.take("metric", str, "the metric's name"),
        value=float(value),
        stderr=_number(optional["stderr"]),
        samples=_count(optional["samples"]),
        higher_is_better=_yes_or_no(optional["higher_is_better"]),
        version=str(optional["version"] or ""),
    )


def _score(
    values: dict[str, Any], chat_model: str, task: str, name: str, numbers: dict[str, Any]
) -> TaskScore:
    metric, _, kind = name.partition(",")
    samples = _of(values, "n-samples", task)
    return TaskScore(
        chat_model=chat_model,
        task=task,
        metric=metric if kind in ("", NO_FILTER) else name,
        value=float(numbers[name]),
        stderr=_number(numbers.get(f"{metric}{STDERR},{kind}" if kind else f"{metric}{STDERR}")),
        samples=_count(samples.get("effective") if isinstance(samples, Mapping) else None),
        higher_is_better=_yes_or_no(_as_mapping(_of(values, "higher_is_better", task)).get(metric)),
        version=str(_of(values, "versions", task) or ""),
    )


def _is_metric(name: str, numbers: Mapping[str, Any]) -> bool:
    value = numbers[name]
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and not name.partition(",")[0].endswith(STDERR)
        and name not in ("sample_len", "sample_count")
    )


def _of(values: Mapping[str, Any], part: str, task: str) -> Any:
    return _as_mapping(values.get(part)).get(task)


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _yes_or_no(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
