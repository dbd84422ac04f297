"""API keys of other servers: from the environment or a secrets file, never from the database, never shown."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from workers.engines.base import EngineError

FILE_VARIABLE = "CHATSITE_SECRETS_FILE"
HINT = (
    "Set it in the worker's environment, or in a file of NAME=VALUE lines that CHATSITE_SECRETS_FILE names."
)


def find_key(variable: str, environment: Mapping[str, str] = os.environ) -> str:
    """The value of `variable`, or "" when `variable` is "". Raises `EngineError` when there is none."""
    if not variable:
        return ""
    value = environment.get(variable, "").strip() or _from_file(environment.get(FILE_VARIABLE, ""), variable)
    if not value:
        raise EngineError(f"The API key {variable} is not set. {HINT}")
    return value


def _from_file(name: str, variable: str) -> str:
    if not name:
        return ""
    path = Path(name).expanduser()
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{FILE_VARIABLE}: {path} cannot be read ({type(error).__name__}).") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EngineError(f"{FILE_VARIABLE}: {path} can be read by others. Try: chmod 600 {path}")
    for line in lines:
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and key.strip() == variable:
            return value.strip().strip("'\"")
    return ""
