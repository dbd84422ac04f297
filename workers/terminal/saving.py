"""Talks in files: readable by their owner only, and never over a file that holds something else."""

import os
import tempfile
from pathlib import Path

from workers.terminal.talk import NotATalk, Talk

LARGEST_BYTES = 16 * 1024 * 1024


class FileProblem(Exception):  # noqa: N818 - reads as what happened
    """A talk could not be saved or loaded. One sentence for the person, with the remedy."""


def save(talk: Talk, name: str, *, chat_model: str) -> Path:
    """Write the talk to the file `name` (`.json` is added when it has no ending) and return its path."""
    path = _path(name)
    if path.exists():
        try:
            _read(path)
        except (NotATalk, FileProblem):
            raise FileProblem(
                f"{path} holds something else and is not overwritten: say another name."
            ) from None
    try:
        _write(path, talk.to_json(chat_model=chat_model))
    except OSError as error:
        raise FileProblem(f"{path} cannot be written: {error.strerror or error}.") from None
    return path


def load(name: str) -> Talk:
    """Read a saved talk; `.json` is tried as well when `name` has no ending."""
    path = _path(name, ending="")
    if not path.exists():
        path = _path(name)
    try:
        return _read(path)
    except NotATalk as error:
        raise FileProblem(f"{path} holds no saved talk: {error}.") from None


def _path(name: str, *, ending: str = ".json") -> Path:
    """The file that `name` means, with `ending` if it has none of its own."""
    try:
        path = Path(name).expanduser()
        if "\0" not in name:
            return path if path.suffix else path.with_name(path.name + ending)
    except (ValueError, RuntimeError):  # "/", "~nobody"
        pass
    raise FileProblem(f"{name!r} is no name of a file.")


def _read(path: Path) -> Talk:
    try:
        if not path.is_file():  # a directory, or a device that never ends
            raise FileProblem(f"{path} cannot be read: there is no such file.")
        if path.stat().st_size > LARGEST_BYTES:
            raise FileProblem(f"{path} is larger than {LARGEST_BYTES >> 20} MiB, too large for a talk.")
        return Talk.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise NotATalk("it is not UTF-8 text") from None
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror or error}.") from None


def _write(path: Path, text: str) -> None:
    # mkstemp makes a file of mode 0600; the rename leaves the old file or the whole new one, never a half.
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
