"""An evaluation on the true stack: a real model answers, a scripted and a real judge grade, and kill -9 in between."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.flows.stack import ROOT, SMOLLM2, Stack, until

# Two questions of the shipped suite, two turns each.
SLICE = ("--suite", "dialogue", "--limit", "2")
TURNS = 4
READ = """
import json
from evaluation.models import EvaluationRun
run = EvaluationRun.objects.order_by("-created_at").first()
print(json.dumps({
    "id": str(run.pk), "status": run.status, "runner": run.runner, "errors": run.errors,
    "answers": {f"{a.chat_model} {a.question_id}": a.turns for a in run.answers.all()},
    "verdicts": {f"{v.judge} {v.question_id} {v.turn}": [v.pk, v.score, v.failed] for v in run.verdicts.all()},
}) if run else "{}")
"""


def stored(stack: Stack) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(stack.manage("shell", "-v", "0", "-c", READ))
    return state


def start_run(stack: Stack, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "manage.py", "evaluate", "run", *arguments],
            cwd=ROOT,
            env={**stack.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def verdicts_begun(log: Path) -> bool:
    progress = [
        line for line in log.read_text().splitlines() if "verdicts, " in line or line.endswith("verdicts")
    ]
    return any(" 0/8 verdicts" not in line for line in progress if "%" in line)


def test_a_killed_run_goes_on_and_repeats_no_finished_call(stack: Stack, tmp_path: Path):
    """SmolLM2 answers with chance (temperature 0.7), so an answer that was asked for again would be another one."""
    stack.add_worker("planted-judge", "reply=Fair.%20[[7]]&first=1&slots=1", name="planted-judge-1")
    # Short of words, or it talks to itself until its context is full.
    stack.manage("evaluate", "judges", "--add", "poor-judge", "--model", SMOLLM2, "--max-tokens", "40")
    log = tmp_path / "run.log"
    wanted = [
        "--models",
        SMOLLM2,
        "--judge",
        "planted-judge",
        "poor-judge",
        "--max-tokens",
        "16",
        "--concurrency",
        "2",
    ]
    run = start_run(stack, log, *SLICE, *wanted)
    try:
        # Some verdicts are there and some are not: one call of the scripted judge takes a second.
        until(lambda: run.poll() is not None or verdicts_begun(log), 60, f"a verdict in {log.read_text()}")
        assert run.poll() is None, log.read_text()
    finally:
        run.kill()  # SIGKILL: it can tidy up nothing
        run.wait(10)
    before = stored(stack)
    assert before["status"] == "running"
    assert sum(map(len, before["answers"].values())) == TURNS
    assert 0 < len(before["verdicts"]) < 2 * TURNS

    said = stack.manage("evaluate", "run", "--resume", before["id"], timeout=120)

    after = stored(stack)
    assert "Finished: 4 answers, 8 verdicts" in said
    assert after["status"] == "finished"
    assert after["answers"] == before["answers"]
    assert all(after["verdicts"][game] == verdict for game, verdict in before["verdicts"].items())
    planted = [verdict[1] for game, verdict in after["verdicts"].items() if game.startswith("planted-judge")]
    assert planted == [7.0] * TURNS
    # A 135M model is a poor judge: what it says is a score in range or a counted error, nothing else.
    poor = [verdict for game, verdict in after["verdicts"].items() if game.startswith("poor-judge")]
    assert len(poor) == TURNS
    assert all((score is None) is failed and (failed or 1 <= score <= 10) for _, score, failed in poor)
    assert after["errors"] == sum(failed for _, _, failed in poor)
