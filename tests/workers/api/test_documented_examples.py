"""Every program of the guides and of the API's page, run as it stands against the true server.

Replaced are the address, the key and the chat model's name, nothing else. `tests/clients/test_node.py` runs those for
Node.js.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.workers.api.conftest import LiveServer
from tests.workers.api.documented import ADDRESS, MODEL, Example, examples, filled, write_files
from workers.api.reference import page
from workers.api.reference.document import routes

# First words → why it is not run here.
ELSEWHERE = {
    "from workers import load_model": "loads weights; tests/workers/test_library.py does what it shows",
    "from llama_index.": "its package is not installed here; tests/clients/test_other_environments.py runs it",
    "import litellm": "the same",
}
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
EXAMPLES = list(examples())
PROGRAMS = {
    name: [each for each in group if not each.text.startswith(tuple(ELSEWHERE))]
    for name, group in groupby(
        [each for each in EXAMPLES if each.language == "python"], lambda each: each.page
    )
}
COMMANDS = [each for each in EXAMPLES if each.language == "bash" and "curl " in each.text]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would be, with the files that the examples read. No proxy stands between."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path


@pytest.fixture
def names(live: LiveServer) -> Iterator[dict[str, Any]]:
    """What a program may use and leaves behind. A page that shows one client makes it once for all its programs."""
    client = openai.OpenAI(base_url=live.base_url, api_key=live.keys["alice"])
    found: dict[str, Any] = {"__name__": "__main__", "client": client}
    yield found
    for value in [client, *found.values()]:
        if isinstance(value, openai.OpenAI):
            value.close()


def run(text: str, names: dict[str, Any], where: str) -> None:
    exec(compile(text, where, "exec"), names)  # noqa: S102 - our own guides


def bash(text: str, live: LiveServer) -> str:
    """What the commands print. A status of 400 and above fails them."""
    strict = 'set -eu; curl() { command curl --silent --show-error --fail-with-body --max-time 90 "$@"; }\n'
    done = subprocess.run(
        ["bash", "-c", strict + text],
        env={**os.environ, "KEY": live.keys["alice"]},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_there_are_examples_and_reasons_for_those_that_are_not_run():
    assert {"README.md", "docs/api.md", "docs/terminal.md"} <= PROGRAMS.keys()
    assert COMMANDS
    for start in ELSEWHERE:
        assert any(each.text.startswith(start) for each in EXAMPLES), f"{start!r} is in no guide any more"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_python_programs_of_a_guide_run(live, folder, names, capsys, name):
    for each in PROGRAMS[name]:
        if package := re.match(r"from (langchain_openai|anthropic) import", each.text):
            pytest.importorskip(package[1])
        run(filled(each.text, live), names, str(each))
        said = capsys.readouterr().out
        assert said.strip() or "print(" not in each.text, f"{each} printed nothing"


@needs_curl
@pytest.mark.parametrize("example", COMMANDS, ids=str)
def test_the_commands_of_a_guide_run(live, folder, example: Example):
    assert bash(filled(example.text, live), live)


# --- the page /docs/api ----------------------------------------------------------------------------------------

OPERATIONS = {
    operation.id: (route, method) for route in routes() for method, operation in route.operations.items()
}
REFUSED = {
    "deleteModel": "of a model that a fine-tuning job made, and nobody trains here",
    "cancelJob": "nobody trains here, so the job has failed",
    "pauseJob": "nobody trains here, so the job has failed",
    "resumeJob": "nobody trains here, so the job has failed",
    "detokenize": "a parrot has no vocabulary but the words that it has heard",
    "cancelResponse": "of a response in the background, and a parrot has answered before it can be cancelled",
}


def programs(operation: str, live: LiveServer) -> dict[str, str]:
    """Language → program, as the page shows them to a reader at the live server."""
    route, method = OPERATIONS[operation]
    shown = page._programs(route, method, ADDRESS, MODEL)
    return {program.language: filled(program.text, live) for program in shown}


@pytest.mark.parametrize(
    "operation",
    [name for name, (route, method) in OPERATIONS.items() if "python" in route.operations[method].code],
)
def test_the_python_programs_of_the_page_run(live, folder, names, capsys, operation):
    run(programs(operation, live)["python"], names, operation)

    assert capsys.readouterr().out.strip()


class Things:
    """What the addresses of the page name: made by those operations that make them, shown where `{id}` stands."""

    def __init__(self, live: LiveServer) -> None:
        self._client = openai.OpenAI(base_url=live.base_url, api_key=live.keys["alice"])

    def close(self) -> None:
        self._client.close()

    def of(self, path: str) -> str:
        if path.startswith("/v1/models/"):
            return "parrot"
        family = path.removeprefix("/v1/").split("/{")[0]
        return str(getattr(self, f"_{family.replace('/', '_')}")())

    def file(self, purpose: str) -> str:
        name = "requests.jsonl" if purpose == "batch" else "examples.jsonl"
        return self._client.files.create(file=Path(name), purpose=purpose).id  # type: ignore[arg-type]

    def _files(self) -> str:
        return self.file("batch")

    def _batches(self) -> str:
        return self._client.batches.create(
            input_file_id=self.file("batch"), endpoint="/v1/chat/completions", completion_window="24h"
        ).id

    def _chat_completions(self) -> str:
        return self._client.chat.completions.create(
            model="parrot", messages=[{"role": "user", "content": "Hi"}], store=True
        ).id

    def _responses(self) -> str:
        return self._client.responses.create(model="parrot", input="Hi", background=True).id

    def _fine_tuning_jobs(self) -> str:
        return self._client.fine_tuning.jobs.create(model="parrot", training_file=self.file("fine-tune")).id


@pytest.fixture
def things(live: LiveServer, folder: Path) -> Iterator[Things]:
    made = Things(live)
    yield made
    made.close()


@needs_curl
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in REFUSED])
def test_the_commands_of_the_page_run(live, folder, things: Things, operation):
    route, _ = OPERATIONS[operation]
    command = programs(operation, live)["curl"]
    if "{" in route.path:
        command = re.sub(r"\{\w+\}", things.of(route.path), command, count=1)
    if "file-…" in command:
        command = command.replace(
            "file-…", things.file("batch" if operation == "createBatch" else "fine-tune")
        )

    said = bash(command, live)

    assert said or Path("content").read_bytes()
