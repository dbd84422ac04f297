"""What must be true before the children start: database migrated, static files collected, servers reachable."""

import hashlib
import os
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from chatsite.supervisor.stack import why_silent


class CannotStart(Exception):  # noqa: N818 - reads as what happened
    """Something the site needs is missing. The text says what, and what helps."""


def make_folders(data: Path) -> None:
    """Make the data directory, readable by its owner only, and the folders others write into."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("run", "log", "valkey", "mail"):
            (data / name).mkdir(exist_ok=True, mode=0o700)
        probe = data / "run" / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CannotStart(
            f"cannot write into the data directory {data}: {error.strerror}. "
            "Make it writable, or name another one: --data DIR (or CHATSITE_DATA)"
        ) from None


def migrate() -> int:
    """Bring the database to this version's shape; the number of migrations that were applied."""
    try:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if missing:
            call_command("migrate", interactive=False, verbosity=0)
    except DatabaseError as error:
        where = settings.DATABASES["default"]["NAME"]
        reason = " ".join(str(error).split())
        raise CannotStart(
            f"the database {where} cannot be used: {reason} (DATABASE_URL, CHATSITE_DATA)"
        ) from None
    return missing


def check_broker() -> None:
    """Refuse to start without the operator's own broker."""
    if reason := why_silent(settings.REDIS_URL):
        raise CannotStart(f"the broker that REDIS_URL names does not answer: {reason}")


def collect_static() -> bool:
    """Collect the static files when one of them changed since the last time; whether they did."""
    stamp = settings.DATA_DIR / "run" / "static-files"
    fingerprint = static_fingerprint()
    if stamp.exists() and stamp.read_text(encoding="ascii") == fingerprint and settings.STATIC_ROOT.is_dir():
        return False
    stamp.unlink(missing_ok=True)  # a collection that is cut short must not look finished
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    stamp.write_text(fingerprint, encoding="ascii")
    return True


def static_fingerprint() -> str:
    """Cheap: names, sizes and times of all static files, and what makes the collected ones from them."""
    digest = hashlib.sha256(f"{django.__version__} {settings.STORAGES['staticfiles']['BACKEND']}".encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = os.stat(storage.path(name))  # noqa: PTH116 - 300 of them at each start
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
