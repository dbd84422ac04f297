"""Puts a checkpoint on a hub, with a model card that says what it is and how it was made."""

import json
from pathlib import Path
from typing import Any, Final, Protocol

from training.weights.errors import WeightsError
from training.weights.files import json_of
from training.weights.inspecting import Inspection, inspect

CARD: Final = "README.md"
# What a training run writes beside its weights.
MANIFEST: Final = "manifest.json"
NEVER: Final = ("*.part", "*.tmp", "optimizer*", "trainer_state.json", ".*", "*.log")


class Hub(Protocol):
    """The part of `huggingface_hub.HfApi` that is used."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any: ...

    def upload_folder(
        self, *, repo_id: str, folder_path: str, ignore_patterns: list[str], commit_message: str
    ) -> Any: ...


def write_card(
    folder: Path, *, name: str, licence: str = "", base: str = "", description: str = "", again: bool = False
) -> Path:
    """Write `README.md` from what the folder says of itself, and return its path.

    One that is there is kept, unless it shall be written `again`. Raises `WeightsError`.
    """
    path = folder / CARD
    if path.exists() and not again:
        return path
    found = inspect(folder)
    licence = licence or found.licence
    if not licence:
        raise WeightsError("Say under which licence it is published: --licence NAME, for example apache-2.0.")
    text = card(
        found, json_of(folder / MANIFEST), name=name, licence=licence, base=base, description=description
    )
    path.write_text(text, encoding="utf-8")
    return path


def card(
    found: Inspection, manifest: dict[str, Any], *, name: str, licence: str, base: str, description: str
) -> str:
    """The model card as Markdown, with the head that hubs read."""
    head = {"license": licence, "base_model": base, "pipeline_tag": "text-generation"}
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in head.items() if value),
        "---",
        "",
        f"# {name}",
        "",
    ]
    lines += [description, ""] if description else []
    lines += [
        "| | |",
        "|---|---|",
        f"| architecture | {found.architecture or 'not said'} |",
        f"| parameters | {found.parameters:,} |",
        f"| stored as | {', '.join(found.stored)} |",
        *([f"| context | {found.context_length:,} tokens |"] if found.context_length else []),
        *([f"| made from | {base} |"] if base else []),
        f"| chat template | {'its own' if found.has_template else 'none'} |",
        f"| licence | {licence} |",
        "",
    ]
    if manifest:
        lines += [
            "## How it was made",
            "",
            "```json",
            json.dumps(manifest, ensure_ascii=False, indent=2),
            "```",
            "",
        ]
    return "\n".join(lines)


def publish(folder: Path, *, repo: str, private: bool, hub: Hub | None = None) -> None:
    """Upload the folder. The token comes from HF_TOKEN, or from where the hub's own tool keeps it.

    Raises `WeightsError`.
    """
    if not (folder / CARD).is_file():
        raise WeightsError(f"{folder} has no model card ({CARD}).")
    try:
        hub = hub or _hub()
        hub.create_repo(repo, private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=repo,
            folder_path=str(folder),
            ignore_patterns=list(NEVER),
            commit_message="Upload the checkpoint",
        )
    except WeightsError:
        raise
    except Exception as error:  # the library's own kinds differ from version to version
        raise WeightsError(f"The hub did not take it ({type(error).__name__}: {error}).") from None


def _hub() -> Hub:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise WeightsError(
            "The library huggingface_hub is not installed. Try: bin/up --install-only --extra hf"
        ) from None
    api: Hub = HfApi()
    return api
