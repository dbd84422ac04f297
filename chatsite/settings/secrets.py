"""Secrets that are made once, in the data directory, readable by their owner only."""

import contextlib
import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def read_or_create(path: Path) -> str:
    """Return the secret in `path`, making a 64-character one with mode 0600 when there is none.

    Two processes that start together agree: each writes a private file and links it into place, and the link
    of the second one fails, so both read the first one's. Raises `ImproperlyConfigured` when it cannot be read or
    written.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            if stored := path.read_text(encoding="ascii").strip():
                return stored
            raise ImproperlyConfigured(f"the secret {path} is empty: remove the file, and a new one is made")
        return _create(path)
    except OSError as error:
        raise ImproperlyConfigured(
            f"cannot keep the secret {path}: {error.strerror}. Make the data directory writable, or name another one, "
            "for example CHATSITE_DATA=/var/lib/chatsite"
        ) from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(
            f"{path} is not a secret of ours: remove it, and a new one is made"
        ) from None


def _create(path: Path) -> str:
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(48) + "\n")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return path.read_text(encoding="ascii").strip()
