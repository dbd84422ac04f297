"""Programs that cannot be in the suite's own virtual environment, run truly where they have one; see README.md."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.workers.api.conftest import live  # noqa: F401 - fixture

VENVS = Path(os.environ.get("CLIENT_VENVS") or Path(__file__).parent / "venvs")
HERE = Path(__file__).parent
JOURNEYS = [
    ("instructor", ["python", str(HERE / "instructor_journey.py")], "parrot"),
    ("openai-agents", ["python", str(HERE / "agents_journey.py")], "caller"),
    ("llm", [str(HERE / "llm_journey.sh")], "parrot"),
]


@pytest.mark.parametrize(("name", "command", "model"), JOURNEYS, ids=[name for name, _, _ in JOURNEYS])
def test_the_program_finds_everything_it_asks_for(live, name, command, model):  # noqa: F811
    programs = VENVS / name / "bin"
    if not programs.is_dir():
        pytest.skip(f"python3 -m venv {VENVS / name} && {programs}/pip install {name}")

    run = subprocess.run(
        command,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": os.environ["HOME"],
            "OPENAI_BASE_URL": live.base_url,
            "OPENAI_API_KEY": live.keys["alice"],
            "MODEL": model,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
