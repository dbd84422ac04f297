"""Keeps people's files: takes them in once they are checked, and removes row and bytes together."""

import contextlib
import logging
import os
import shutil
from datetime import datetime
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from chatsite.accounts.models import User
from workers.models import ApiFile
from workers.models.files import folder
from workers.services import jsonl

logger = logging.getLogger(__name__)

LONGEST_NAME = 255


class NoRoom(Exception):  # noqa: N818 - reads as what happened
    """The person's files would take more than they may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} bytes")
        self.limit = limit


class InUse(Exception):  # noqa: N818
    """Something that is under way needs the file."""


def incoming() -> Path:
    """A folder for what is being received, on the disk where it will stay. Made when missing, for the owner only."""
    path = folder() / "incoming"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def take_in(
    *, owner: User, source: Path, filename: str, purpose: str, expires_at: datetime | None = None
) -> ApiFile:
    """Make `source` (a file in `incoming`) a file of `owner`. It is gone afterwards, also when this raises.

    Raises `jsonl.InvalidLine` when its purpose asks for JSONL and a line cannot be used, `NoRoom` when the person has
    too much already.
    """
    try:
        check = jsonl.CHECKS.get(purpose)
        lines = check(source) if check else None
        return _store(owner, source, filename, purpose, expires_at, lines)
    finally:
        source.unlink(missing_ok=True)


def _store(
    owner: User, source: Path, filename: str, purpose: str, expires_at: datetime | None, lines: int | None
) -> ApiFile:
    size = source.stat().st_size
    if size + used_by(owner=owner) > settings.API_FILES_PER_USER:
        raise NoRoom(settings.API_FILES_PER_USER)
    return _keep(
        ApiFile(
            owner=owner,
            filename=clean_name(filename),
            purpose=purpose,
            size=size,
            lines=lines,
            expires_at=expires_at,
        ),
        source,
    )


def _keep(file: ApiFile, source: Path) -> ApiFile:
    file.full_clean()
    file.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    source.replace(file.path)
    try:
        file.save(force_insert=True)
    except BaseException:
        file.path.unlink(missing_ok=True)
        raise
    return file


def take_in_own(
    *,
    owner: User,
    source: Path,
    filename: str,
    purpose: str,
    lines: int | None = None,
    expires_at: datetime | None = None,
) -> ApiFile:
    """Make a file that the site wrote for `owner` theirs. It counts as theirs, and is never refused for that."""
    return _keep(
        ApiFile(
            owner=owner,
            filename=filename,
            purpose=purpose,
            size=source.stat().st_size,
            lines=lines,
            expires_at=expires_at,
        ),
        source,
    )


def used_by(*, owner: User) -> int:
    """Bytes."""
    return ApiFile.objects.filter(owner=owner).aggregate(total=Sum("size"))["total"] or 0


def remove(*, file: ApiFile) -> None:
    """Delete a file. Raises `InUse` while a batch or a training reads it."""
    with transaction.atomic():
        if _needed(file):
            raise InUse
        path = file.path
        file.delete()
        transaction.on_commit(partial(_remove_bytes, path))


def remove_expired() -> int:
    """Delete the files whose time is over and that nothing needs. Returns how many."""
    removed = 0
    for file in ApiFile.objects.filter(expires_at__lte=timezone.now())[:1000]:
        with contextlib.suppress(InUse):
            remove(file=file)
            removed += 1
    return removed


def clean_name(name: str) -> str:
    """What a person may see of the name they sent: no folders, nothing that cannot be printed."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(character for character in name if character.isprintable())
    return printable[:LONGEST_NAME] or "file"


def new_incoming() -> Path:
    """A fresh, empty path in `incoming`."""
    return incoming() / os.urandom(16).hex()


def clear_incoming(*, older_than: float) -> None:
    """Remove what uploads left behind whose process died. `older_than`: Unix time."""
    for path in incoming().iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < older_than:
                path.unlink()


def copy_into(path: Path) -> Path:
    """A copy of `path` in `incoming`, to be taken in."""
    target = new_incoming()
    shutil.copyfile(path, target)
    return target


def _needed(file: ApiFile) -> bool:
    """Whether anything open points to it. Whoever points to files says by `needs_files` which of its rows are open."""
    for relation in file._meta.related_objects:
        open_rows = getattr(relation.related_model, "needs_files", None)
        if open_rows is not None and open_rows().filter(**{relation.field.name: file}).exists():
            return True
    return False


def _remove_bytes(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.error("The bytes of a deleted file stay at %s: %s", path, error)
