"""The two files that make a run's folder speak for itself: `run.json` before the first step, `manifest.json` after
the last.

`run.json` holds what decides the result; to go on with a folder under other settings is refused. `manifest.json` is
written last: a folder that has it is whole.
"""

import hashlib
import json
import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from training.recipes.refusals import Refusal

RUN, MANIFEST = "run.json", "manifest.json"
PACKAGES = ("torch", "transformers", "accelerate", "peft", "bitsandbytes", "deepspeed", "trl", "chatsite")

# Of transformers' arguments those that say where, how often and how loud, and not what is learnt.
_PLACES = "output_dir resume_from_checkpoint push_to_hub local_rank debug ddp_timeout progress merge"
_LOUDNESS = (
    "log_level log_level_replica log_on_each_node disable_tqdm report_to run_name project sample_prompt"
)
_LOGGING = "logging_strategy logging_steps logging_first_step logging_nan_inf_filter skip_memory_metrics"
_SAVING = "save_strategy save_steps save_total_limit save_only_model save_on_each_node enable_jit_checkpoint"
_LOADING = (
    "dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor"
)
_WISHES = "do_train do_eval do_predict eval_on_start fresh force estimate_only restore_callback_states_from_checkpoint"
WITHOUT_INFLUENCE = frozenset(" ".join((_PLACES, _LOUDNESS, _LOGGING, _SAVING, _LOADING, _WISHES)).split())
WITHOUT_INFLUENCE_BEGIN = ("hub_", "trackio_")


def decisive(settings: dict[str, Any]) -> dict[str, Any]:
    """Of all settings those that the result depends on."""
    return {
        name: value
        for name, value in sorted(settings.items())
        if name not in WITHOUT_INFLUENCE and not name.startswith(WITHOUT_INFLUENCE_BEGIN)
    }


def config_hash(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def start(folder: Path, settings: dict[str, Any], *, fresh: bool) -> dict[str, Any] | None:
    """Writes `run.json`; what it says when the folder holds an unfinished run of the same settings, else None.

    Raises `Refusal` for a finished one and for other settings, naming them.
    """
    path = folder / RUN
    if path.is_file() and not fresh:
        before = read(path)
        if (folder / MANIFEST).is_file():
            raise Refusal(
                "output_dir", f"{folder} holds a finished run. Take another folder, or --fresh True."
            )
        changed = sorted(
            name
            for name in {*before["settings"], *settings}
            if _plain(before["settings"].get(name)) != _plain(settings.get(name))
        )
        if changed:
            raise Refusal(
                "output_dir",
                f"{folder} holds an unfinished run with other settings ({', '.join(changed)}). "
                "Give it the same ones to go on, or --fresh True to begin anew.",
            )
        return before
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    write(path, {"settings": settings, "config_hash": config_hash(settings)})
    return None


def read(path: Path) -> dict[str, Any]:
    """Raises `Refusal` for a file that is damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found["settings"].keys()
    except (ValueError, KeyError, AttributeError, TypeError):
        raise Refusal("output_dir", f"{path} is damaged. Take another folder, or --fresh True.") from None
    return found


def write(path: Path, values: dict[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(values, file, indent=2, sort_keys=True, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Of the product's own code, where it is a checkout; else ""."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
