"""Programs that cannot be in the suite's own virtual environment, run truly where they have one; see README.md."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from tests.workers.api.conftest import LiveServer, live  # noqa: F401 - fixture
from tests.workers.api.documented import examples, filled

VENVS = Path(os.environ.get("CLIENT_VENVS") or Path(__file__).parent / "venvs")
HERE = Path(__file__).parent
JOURNEYS = [
    ("instructor", ["python", str(HERE / "instructor_journey.py")], "parrot"),
    ("openai-agents", ["python", str(HERE / "agents_journey.py")], "caller"),
    ("llama-index-llms-openai-like", ["python", str(HERE / "llamaindex_journey.py")], "parrot"),
    ("litellm", ["python", str(HERE / "litellm_journey.py")], "parrot"),
    ("llm", [str(HERE / "llm_journey.sh")], "parrot"),
]
# The package → how its program in docs/terminal.md begins.
GUIDES = [
    ("llama-index-llms-openai-like", "from llama_index."),
    ("litellm", "import litellm"),
]


def where_installed(cases: Iterable[tuple[Any, ...]]) -> list[ParameterSet]:
    """The cases, whose first value is a package's name. Marked, so that no server is started to skip them all."""

    def mark(name: str) -> pytest.MarkDecorator:
        programs = VENVS / name / "bin"
        reason = f"python3 -m venv {VENVS / name} && {programs}/pip install {name}"
        return pytest.mark.skipif(not programs.is_dir(), reason=reason)

    return [pytest.param(*case, marks=mark(case[0]), id=case[0]) for case in cases]


@pytest.mark.parametrize(("name", "command", "model"), where_installed(JOURNEYS))
def test_the_program_finds_everything_it_asks_for(live, name, command, model):  # noqa: F811
    run(name, command, live, MODEL=model)


@pytest.mark.parametrize(("name", "start"), where_installed(GUIDES))
def test_the_guides_program_runs(live, name, start):  # noqa: F811
    (text,) = [each.text for each in examples() if each.language == "python" and each.text.startswith(start)]

    assert run(name, ["python", "-c", filled(text, live)], live).strip() or "print(" not in text


def run(name: str, command: list[str], live: LiveServer, **environment: str) -> str:  # noqa: F811
    """What it prints."""
    programs = VENVS / name / "bin"
    done = subprocess.run(
        command,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": os.environ["HOME"],
            "OPENAI_BASE_URL": live.base_url,
            "OPENAI_API_KEY": live.keys["alice"],
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks GitHub for prices, and waits for the answer
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
