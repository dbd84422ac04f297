"""What may be imported where. import-linter reads the imports that are written; these tests see what is truly loaded.

Each import runs in a fresh process: in this one the other tests have loaded everything already.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "xllamacpp", "bitsandbytes", "peft", "deepspeed", "accelerate")
BESIDE_WEIGHTS = ("workers.engines", "workers.host", "workers.lifecycle", "workers.tasks", "training.recipes")


def loaded_by(program: str, tmp_path: Path) -> set[str]:
    """The modules in memory after a fresh Python ran `program`, with a data directory of its own."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("CHATSITE_", "DJANGO_"))
    }
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print('\\n'.join(sys.modules))"],
        cwd=ROOT,
        env={**environment, "CHATSITE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def named(modules: set[str], *roots: str) -> list[str]:
    """Those of `modules` that are one of `roots` or inside it."""
    return sorted(m for m in modules if any(m == root or m.startswith(f"{root}.") for root in roots))


def test_the_web_loads_no_engine_and_no_weights(tmp_path: Path):
    program = (
        "import chatsite.asgi\n"
        "from django.urls import get_resolver\n"
        # Routes are imported with the first request, tasks with the first one that is sent.
        "get_resolver().url_patterns\n"
        "from chatsite.celery import app; app.finalize()\n"
        "from workers import client; client.current()\n"
        "from django.contrib import admin; admin.autodiscover()\n"
    )

    modules = loaded_by(program, tmp_path)

    assert {"arena.consumers", "arena.views", "workers.api.chat.views", "workers.broker"} <= modules
    assert named(modules, *HEAVY) == []
    assert named(modules, *BESIDE_WEIGHTS) == []
    # The product runs in many processes, and in one of them below Daphne, which a third of a start would be spent on.
    assert named(modules, "daphne", "twisted", "autobahn") == []


@pytest.mark.parametrize(
    "module", ["workers.host", "workers.engines.registry", "workers.engines.scripted", "workers.protocol"]
)
def test_code_beside_the_weights_loads_no_orm(tmp_path: Path, module: str):
    modules = loaded_by(f"import {module}", tmp_path)

    assert module in modules
    assert (
        named(modules, "django.db.models", "arena", "chatsite.accounts", "workers.models", "workers.services")
        == []
    )


def test_the_engines_load_no_django_at_all(tmp_path: Path):
    modules = loaded_by("import workers.engines.scripted, workers.engines.registry", tmp_path)

    assert named(modules, "django", "redis", "celery") == []


def test_the_engine_registry_loads_no_heavy_library_before_an_engine_is_chosen(tmp_path: Path):
    assert named(loaded_by("import workers.engines.registry", tmp_path), *HEAVY) == []


def test_the_supervisor_can_start_without_the_product(tmp_path: Path):
    modules = loaded_by("import chatsite.supervisor.supervisor, chatsite.supervisor.stack", tmp_path)

    assert named(modules, "django.db", "workers", "arena", "chatsite.accounts") == []


PROTOCOL = ("abilities", "events", "reading", "requests", "status")


@pytest.mark.parametrize(
    "file",
    [
        *[f"workers/protocol/{name}.py" for name in PROTOCOL],
        # These run before anything is installed, or beside the project.
        "bin/up",
        "bin/test",
        "chatsite/supervisor/install.py",
        "chatsite/supervisor/options.py",
        "chatsite/supervisor/watchdog.py",
    ],
)
def test_it_imports_the_standard_library_alone(file: str):
    neighbours = {"install", "options"} if file.startswith("bin/") else set()
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))

    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    inside = {f"workers.protocol.{name}" for name in PROTOCOL} if "/protocol/" in file else set()
    outside = imported - inside
    assert {name.partition(".")[0] for name in outside} - sys.stdlib_module_names <= neighbours


def test_an_old_python_can_read_the_scripts_that_ask_for_a_newer_one():
    for script in ("bin/up", "bin/test"):
        ast.parse((ROOT / script).read_text(encoding="utf-8"), feature_version=(3, 7))


def test_tasks_are_sent_by_name_and_never_imported_by_services():
    offenders = [
        str(path.relative_to(ROOT))
        for folder in ("arena", "chatsite/accounts", "workers")
        for part in ("services", "selectors", "models", "api", "views")
        for path in sorted((ROOT / folder / part).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("tasks")
    ]

    assert offenders == []
