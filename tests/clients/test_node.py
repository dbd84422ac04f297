"""The `openai` client for Node.js, run truly. Skipped where node or the package is missing; see README.md here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workers.api.conftest import live  # noqa: F401 - fixture

NODE = shutil.which("node")
FOLDER = Path(os.environ.get("NODE_CLIENTS") or Path(__file__).parent)
"""Where `node_modules/openai` is."""


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.skipif(
    not (FOLDER / "node_modules" / "openai").is_dir(),
    reason=f"npm install --prefix {Path(__file__).parent} openai zod",
)
def test_the_client_for_node_finds_everything_it_asks_for(live):  # noqa: F811
    script = Path(__file__).with_name("journeys.mjs")
    run = subprocess.run(
        [str(NODE), script, live.base_url, live.keys["alice"], "parrot", FOLDER],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    done = dict(line.split(": ", 1) for line in run.stdout.splitlines())
    assert len(done) > 10
    assert set(done.values()) == {"ok"}
