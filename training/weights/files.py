"""The JSON files beside the weights."""

import json
from pathlib import Path
from typing import Any

from training.weights.errors import WeightsError


def config_of(folder: Path) -> dict[str, Any]:
    """Its `config.json`, or an empty object."""
    return json_of(folder / "config.json")


def json_of(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}.") from None
    if not isinstance(data, dict):
        raise WeightsError(f"{path} holds no JSON object.")
    return data
