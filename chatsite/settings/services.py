"""Where the servers behind the product are: database and broker URLs turned into what each library wants."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from chatsite.settings import env

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
LONGEST_SOCKET_PATH = 100


# Seconds that a thread waits for a connection of the pool, before it gives up with an error.
POOL_PATIENCE = 10


def database(url: str, data_dir: Path, *, pool: int = 0) -> dict[str, Any]:
    """Django's DATABASES entry: PostgreSQL for a URL, SQLite in the data directory without one.

    `pool`: the most connections to PostgreSQL of each process, kept open between requests. 0 opens one for each
    request, since under ASGI the thread of a request, and with it a connection that is merely kept, is not found again.
    """
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": data_dir / "db.sqlite3",
            "OPTIONS": {
                "timeout": 20,
                # A transaction that starts with a read and then writes fails at once with "database is locked"
                # under the default DEFERRED mode; IMMEDIATE makes it wait for `timeout` instead.
                "transaction_mode": "IMMEDIATE",
                "init_command": (
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
                    " PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=27103364;"
                ),
            },
        }
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {**database("", data_dir), "NAME": Path(unquote(parts.path))}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**dict(parse_qsl(parts.query)), **_pool(pool)},
    }


def _pool(size: int) -> dict[str, Any]:
    # Django's own (psycopg_pool behind it); its threads begin with the first connection, so behind every fork.
    return {"pool": {"min_size": 1, "max_size": size, "timeout": POOL_PATIENCE}} if size else {}


def embedded_socket(data_dir: Path) -> Path:
    """The unix socket of the embedded Valkey; in the temporary directory when the data directory's path is too long."""
    path = data_dir / "run" / "valkey.sock"
    if len(str(path).encode()) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"chatsite-{digest}.sock"


def broker_urls(url: str, data_dir: Path) -> tuple[str, str]:
    """(redis-py's URL, Celery's URL) of one broker: `url`, or the embedded server's socket when it is empty."""
    if url and not url.startswith("unix:"):
        return url, url
    redis_url = url or f"unix://{embedded_socket(data_dir)}?db=0"
    parts = urlsplit(redis_url)
    database_number = dict(parse_qsl(parts.query)).get("db", "0")
    password = f":{parts.password}@" if parts.password else ""
    return redis_url, f"redis+socket://{password}{parts.path}?virtual_host={database_number}"


def read_database_url() -> str:
    return env.url(
        "DATABASE_URL",
        ("postgresql", "postgres", "sqlite"),
        "postgresql://user:password@db.example:5432/chatsite",
    )


def read_redis_url() -> str:
    return env.url("REDIS_URL", ("redis", "rediss", "unix"), "redis://:password@redis.example:6379/0")


def email(url: str) -> dict[str, Any]:
    """Django's EMAIL_* settings for an `smtp://` (STARTTLS) or `smtps://` (TLS from the start) URL."""
    parts = urlsplit(url)
    tls = parts.scheme == "smtps"
    return {
        "EMAIL_HOST": unquote(parts.hostname or ""),
        "EMAIL_PORT": parts.port or (465 if tls else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": tls,
        "EMAIL_USE_TLS": not tls and bool(parts.username),
        "EMAIL_TIMEOUT": 10,
    }
