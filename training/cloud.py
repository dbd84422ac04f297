"""A training command as a task for SkyPilot: rented machines that may be taken away, and a run that goes on elsewhere.

Pure: takes a recipe's command line, returns YAML. The fields are those of SkyPilot's task schema
(https://docs.skypilot.co/en/latest/reference/yaml-spec.html, read at 0.14). What the command names of this machine's
files travels along; what it writes goes to a bucket, where a recipe that starts again finds its last checkpoint.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

RECIPES: Final = ("sft", "preference", "seq2seq")
STORES: Final = ("s3", "gcs", "azure", "r2", "nebius", "cos", "oci")
OUTPUT: Final = "/output"
"""Where the bucket is, on the rented machine."""
DATA: Final = "/data"
MODEL: Final = "/model"
PYTHON: Final = "3.11"
FILES: Final = ("data", "eval_data", "data_path", "eval_data_path")
CHECKPOINTS: Final = ("model", "model_name_or_path")
SETTINGS: Final = ("deepspeed", "fsdp_config", "template")
"""Arguments that may name a file."""
DECIDED: Final = ("output_dir", "progress")
"""What the task decides itself."""


class BadCommand(Exception):  # noqa: N818 - reads as what is wrong
    """One sentence with the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Machines:
    """What is rented."""

    accelerators: str
    """As SkyPilot names them: A100:4, H100:8, …"""
    nodes: int = 1
    spot: bool = True
    infra: str = ""
    """cloud, cloud/region or cloud/region/zone; "" lets SkyPilot choose the cheapest."""
    disk_gb: int = 256


@dataclass(frozen=True, slots=True)
class Bucket:
    name: str
    store: str = ""
    """s3, gcs, …; "" is that of the cloud that is chosen."""


def task(
    command: Sequence[str],
    *,
    name: str,
    machines: Machines,
    bucket: Bucket,
    product: Path,
) -> dict[str, Any]:
    """The task of `command`: a recipe's name and its arguments, as they work on this machine.

    `product`: the checkout that travels along and is installed there. Raises `BadCommand`.
    """
    if not command or command[0] not in RECIPES:
        raise BadCommand(f"The command must begin with a recipe: {', '.join(RECIPES)}.")
    mounts = _Mounts(product)
    arguments = mounts.rewritten(_flags(command[1:]))
    if not {"data", "data_path"} & {flag for flag, _ in arguments}:
        raise BadCommand("The command needs --data.")
    if not set(CHECKPOINTS) & {flag for flag, _ in arguments}:
        raise BadCommand("The command needs --model.")
    folder = f"{OUTPUT}/{name}"
    arguments.append(("output_dir", [folder]))
    resources: dict[str, Any] = {
        "accelerators": machines.accelerators,
        "disk_size": machines.disk_gb,
        "use_spot": machines.spot,
        # A refusal or a bug ends the job at once; a machine that was taken away does not.
        "job_recovery": {"strategy": "EAGER_NEXT_REGION", "max_restarts_on_errors": 0},
    }
    if machines.infra:
        resources["infra"] = machines.infra
    return {
        "name": name,
        "workdir": str(product),
        "num_nodes": machines.nodes,
        "resources": resources,
        "file_mounts": {OUTPUT: _bucket(bucket), **mounts.found},
        "setup": _setup(),
        "run": _run(command[0], arguments, folder),
    }


def to_yaml(value: dict[str, Any], *, heading: str = "") -> str:
    """Block style; text of several lines as it stands, all else quoted as JSON does it, which YAML reads."""
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    return comment + "\n".join(_lines(value, 0)) + "\n"


class _Mounts:
    """Files of this machine, and where they will be."""

    def __init__(self, product: Path):
        self._product = product
        self.found: dict[str, str] = {}

    def rewritten(self, flags: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
        result = []
        for name, values in flags:
            if name in DECIDED:
                raise BadCommand(f"Leave --{name} out: it is decided by the task.")
            result.append((name, [self._value(name, value) for value in values]))
        return result

    def _value(self, name: str, value: str) -> str:
        if name in FILES:
            return self._file(value, DATA, must_exist=True)
        if name in CHECKPOINTS:
            if value.startswith("package:"):
                raise BadCommand(
                    f"{value} is on this machine only. Name its file, or a checkpoint of the hub."
                )
            return self._file(value, MODEL)
        if name in SETTINGS:
            return self._file(value, DATA)
        return value

    def _file(self, value: str, target: str, *, must_exist: bool = False) -> str:
        if "://" in value:
            return self._add(f"{target}/{value.rsplit('/', 1)[-1]}", value)
        path = Path(value).expanduser()
        if not path.exists():
            if must_exist:
                raise BadCommand(f"{value} is not there. Name a file, or one in a bucket such as s3://…")
            return value  # a name of the hub, of a prompt format, or settings in words
        path = path.resolve()
        if path.is_relative_to(self._product / "training"):
            return str(path.relative_to(self._product))  # it travels with the product
        return self._add(f"{target}/{path.name}", str(path))

    def _add(self, place: str, source: str) -> str:
        if self.found.get(place, source) != source:
            stem, _, end = place.rpartition("/")
            return self._add(f"{stem}/{len(self.found)}-{end}", source)
        self.found[place] = source
        return place


def _flags(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--") and len(argument) > 2:
            name, sign, value = argument[2:].partition("=")
            found.append((name.replace("-", "_"), [value] if sign else []))
        elif found:
            found[-1][1].append(argument)
        else:
            raise BadCommand(f"{argument!r} has no --name in front of it.")
    return found


def _bucket(bucket: Bucket) -> dict[str, Any]:
    """Written to in the background, one file after the other: a checkpoint's last file arrives last."""
    found: dict[str, Any] = {"name": bucket.name}
    if bucket.store:
        found["store"] = bucket.store
    return {**found, "mode": "MOUNT_CACHED", "config": {"mount_cached": {"transfers": 1}}}


def _setup() -> str:
    return "\n".join(
        (
            "set -e",
            "command -v uv >/dev/null || pip install -q uv",
            f"[ -d ~/chatsite-venv ] || uv venv -q --python {PYTHON} ~/chatsite-venv",
            ". ~/chatsite-venv/bin/activate",
            "uv pip install -q '.[train]'",
        )
    )


def _run(recipe: str, arguments: list[tuple[str, list[str]]], folder: str) -> str:
    said = [" ".join([f"--{name}", *map(shlex.quote, values)]) for name, values in arguments]
    launch = (
        'torchrun --nnodes "$SKYPILOT_NUM_NODES" --node-rank "$SKYPILOT_NODE_RANK"',
        '--nproc-per-node "${SKYPILOT_NUM_GPUS_PER_NODE:-1}"',
        '--master-addr "$(echo "$SKYPILOT_NODE_IPS" | head -n 1)" --master-port 29500',
        f"-m training.recipes.{recipe}",
        *said,
    )
    return "\n".join(
        (
            "set -e",
            ". ~/chatsite-venv/bin/activate",
            "# Taken away after its last step: nothing is left to do.",
            f"if [ -f {shlex.quote(folder)}/manifest.json ]; then echo 'Finished before.'; exit 0; fi",
            " \\\n  ".join(launch),
        )
    )


def _lines(value: dict[str, Any], depth: int) -> list[str]:
    found, indent = [], "  " * depth
    for name, inner in value.items():
        key = f"{indent}{name if name.replace('_', '').isalnum() else json.dumps(name)}:"
        if isinstance(inner, dict):
            found += [key, *_lines(inner, depth + 1)]
        elif isinstance(inner, str) and "\n" in inner:
            found += [f"{key} |-", *(f"{indent}  {line}" for line in inner.splitlines())]
        else:
            found.append(f"{key} {json.dumps(inner, ensure_ascii=False)}")
    return found
