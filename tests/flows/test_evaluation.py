"""An evaluation on the true stack: real models answer, a scripted and a real judge grade, and kill -9 in between."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.flows.stack import ROOT, SMOLLM2, Stack, until

PATIENCE = 120  # seconds; nothing is measured here, and the machine may be busy

# One question of the shipped suite with its two turns, for two chat models and two judges: a 135M judge is slow here.
SLICE = ("--suite", "dialogue", "--limit", "1")
ANSWERS, VERDICTS = 4, 8
REPORT = """
from django.core.management import call_command
call_command("evaluate", "report", "{run}", "--out", "{out}")
call_command("evaluate", "verify", "{out}")
"""


def stored(stack: Stack) -> dict[str, Any]:
    """The newest run, its answers and its verdicts."""
    [(key, status, errors)] = stack.rows(
        "SELECT id, status, errors FROM evaluation_evaluationrun ORDER BY created_at DESC LIMIT 1"
    )
    answers = stack.rows(
        "SELECT chat_model, question_id, turns FROM evaluation_storedanswer WHERE run_id = ? ORDER BY id", key
    )
    verdicts = stack.rows(
        "SELECT judge, model_1, question_id, turn, id, score, failed FROM evaluation_storedverdict WHERE run_id = ?",
        key,
    )
    return {
        "id": key,
        "status": status,
        "errors": errors,
        "answers": {(name, question): json.loads(turns) for name, question, turns in answers},
        "verdicts": {tuple(row[:4]): (row[4], row[5], bool(row[6])) for row in verdicts},
    }


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
    return any(f" 0/{VERDICTS} verdicts" not in line for line in progress if "%" in line)


def test_a_killed_run_goes_on_and_repeats_no_finished_call_and_its_report_is_readable(
    stack: Stack, second_model: str, browser: Browser, tmp_path: Path
):
    """They answer with chance (temperature 0.7), so an answer that was asked for again would be another one."""
    stack.add_worker("planted-judge", "reply=Fair.%20[[7]]&first=1.5&slots=1", name="planted-judge-1")
    # Short of words, or it talks to itself until its context is full.
    stack.manage("evaluate", "judges", "--add", "poor-judge", "--model", SMOLLM2, "--max-tokens", "24")
    log = tmp_path / "run.log"
    judges = ("--judge", "planted-judge", "poor-judge")
    run = start_run(
        stack,
        log,
        *SLICE,
        "--models",
        SMOLLM2,
        second_model,
        *judges,
        "--max-tokens",
        "16",
        "--concurrency",
        "2",
    )
    try:
        # Some verdicts are there and some are not: one call of the scripted judge takes a while.
        until(lambda: run.poll() is not None or verdicts_begun(log), f"a verdict in {log.read_text()}")
        assert run.poll() is None, log.read_text()
    finally:
        run.kill()  # SIGKILL: it can tidy up nothing
        run.wait(300)
    before = stored(stack)
    assert before["status"] == "running"
    assert sum(map(len, before["answers"].values())) == ANSWERS
    assert 0 < len(before["verdicts"]) < VERDICTS

    said = stack.manage("evaluate", "run", "--resume", before["id"], timeout=PATIENCE)

    after = stored(stack)
    assert f"Finished: {ANSWERS} answers, {VERDICTS} verdicts" in said
    assert after["status"] == "finished"
    assert after["answers"] == before["answers"]
    assert all(after["verdicts"][game] == verdict for game, verdict in before["verdicts"].items())
    planted = [verdict[1] for game, verdict in after["verdicts"].items() if game[0] == "planted-judge"]
    assert planted == [7.0] * ANSWERS
    # A 135M model is a poor judge: what it says is a score in range or a counted error, nothing else.
    poor = [verdict for game, verdict in after["verdicts"].items() if game[0] == "poor-judge"]
    assert len(poor) == ANSWERS
    assert all((score is None) is failed and (failed or 1 <= score <= 10) for _, score, failed in poor)
    assert after["errors"] == sum(failed for _, _, failed in poor)

    said = stack.manage("shell", "-c", REPORT.format(run=before["id"], out=tmp_path / "report"))
    assert "all agree" in said
    read_report(browser, tmp_path / "report", after["answers"], second_model)


def read_report(
    browser: Browser, folder: Path, answers: dict[tuple[str, str], list[str]], second_model: str
) -> None:
    """As a person does: the file in a browser, without the site."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((folder / "index.html").as_uri())
    scores = page.locator("#scores table").first
    for name in (SMOLLM2, second_model):
        expect(scores.get_by_role("rowheader", name=name)).to_be_visible()
    expect(page.locator("#judges")).to_contain_text("planted-judge")
    page.locator("[data-filtered] tbody a").first.click()
    expect(page.locator(".answer").first).to_be_visible()
    shown = " ".join((page.locator("main").text_content() or "").split())
    [first, *_] = answers
    assert " ".join(answers[first][0].split())[:20] in shown
    assert "Fair. [[7]]" in shown
    page.close()
