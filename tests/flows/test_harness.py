"""lm-evaluation-harness itself, on a task of one's own from a folder: nothing comes from the Hub."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.flows.stack import Stack

TASK = """
task: own_words
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
output_type: generate_until
test_split: test
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 12
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""
# The scripted chat model says what it was told, so three of four answers are right.
SAMPLES = [("Red.", "Red."), ("Green.", "Green."), ("Blue.", "Blue."), ("Blue.", "Red.")]

pytestmark = pytest.mark.skipif(
    not (Path(sys.executable).with_name("lm_eval").is_file() or shutil.which("lm_eval")),
    reason="lm-evaluation-harness is not installed: pip install '.[harness]'",
)


def test_a_task_of_ones_own_is_measured_through_the_api(stack: Stack, admin_key: str, tmp_path: Path):
    stack.add_worker("echoing", "", name="echoing-1")
    data = tmp_path / "samples.jsonl"
    data.write_text("".join(json.dumps({"q": asked, "a": right}) + "\n" for asked, right in SAMPLES))
    (tmp_path / "own_words.yaml").write_text(TASK.format(data=data))
    environment = {
        "OPENAI_API_KEY": admin_key,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hub"),
        "PATH": os.environ["PATH"],
    }
    stack.environment.update(environment)
    try:
        said = stack.manage(
            *("evaluate", "harness", "--models", "echoing", "--tasks", "own_words"),
            *("--include-path", str(tmp_path), "--base-url", f"{stack.url}/v1"),
            timeout=300,
        )
    finally:
        for name in set(environment) - {"PATH"}:
            del stack.environment[name]
    assert "echoing  own_words  exact_match  0.750" in said
    [(value, samples)] = stack.rows(
        "SELECT value, samples FROM evaluation_storedtaskscore WHERE chat_model = 'echoing'"
    )
    assert (value, samples) == (0.75, len(SAMPLES))
