"""The `openai` client for Node.js, run truly. Skipped where node or the package is missing; see README.md here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workers.api.conftest import live  # noqa: F401 - fixture
from tests.workers.api.documented import ADDRESS, KEY, MODEL, examples, filled, write_files
from workers.api.reference.document import routes

NODE = shutil.which("node")
FOLDER = Path(os.environ.get("NODE_CLIENTS") or Path(__file__).parent)
"""Where `node_modules/openai` is."""


pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "openai").is_dir(),
        reason=f"npm install --prefix {Path(__file__).parent} openai zod",
    ),
]
GUIDES = {str(each): each.text for each in examples() if each.language == "javascript"}
PAGE = {
    operation.id: operation.code["node"]
    .replace("BASE_URL", ADDRESS)
    .replace("MODEL", MODEL)
    .replace("KEY", KEY)
    for route in routes()
    for operation in route.operations.values()
    if "node" in operation.code
}


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


@pytest.mark.parametrize("name", [*GUIDES, *PAGE])
def test_the_programs_of_the_guides_and_of_the_api_page_run(live, tmp_path, name):  # noqa: F811
    (tmp_path / "node_modules").symlink_to((FOLDER / "node_modules").resolve())
    write_files(tmp_path)
    program = tmp_path / "program.mjs"
    program.write_text(filled((GUIDES | PAGE)[name], live), encoding="utf-8")

    run = subprocess.run(
        [str(NODE), program], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.strip()
