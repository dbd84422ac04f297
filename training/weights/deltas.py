"""Deltas: what has to be added to a base model's weights to get another's, for weights that may not be passed on whole.

The arithmetic is done in float32. Where the other model has more rows (new tokens), the base counts as zero there.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch

from training.weights.errors import WeightsError
from training.weights.files import json_of
from training.weights.shards import Reader, Writer, with_progress
from training.weights.telling import Say, quiet

FILE = "delta.json"


class Difference(NamedTuple):
    """How far a delta leads back."""

    largest: float
    """The largest difference of any weight between the original and base + delta."""
    exact: bool
    """Bit for bit the original."""


def make_delta(base: Path, target: Path, delta: Path, *, exact: bool = False, say: Say = quiet) -> Difference:
    """Write `delta` = `target` - `base`. It is kept in the target's precision, or with `exact` in float32.

    Raises `WeightsError`.
    """
    bases, targets = Reader(base), Reader(target)
    _check_names(bases, targets)
    digest, largest, same = hashlib.sha256(), 0.0, True
    with Writer(delta) as writer:
        writer.copy_companions(target)
        for name in with_progress(targets.names, say):
            wanted = targets.get(name)
            grown = _grown(bases, name, wanted.shape)
            kept = (wanted.float() - grown).to(torch.float32 if exact else wanted.dtype)
            back = _sum(grown, kept, wanted.dtype)
            largest = max(largest, _distance(back, wanted))
            same = same and torch.equal(back, wanted)
            _update(digest, name, wanted)
            writer.add(name, kept)
        dtypes = {name: str(targets.get(name).dtype).removeprefix("torch.") for name in targets.names}
        writer.write_json(FILE, {"sha256": digest.hexdigest(), "exact": same, "dtypes": dtypes})
    return Difference(largest, same)


def apply_delta(base: Path, delta: Path, target: Path, *, say: Say = quiet) -> bool | None:
    """Write `target` = `base` + `delta`. Whether it is bit for bit what the delta was made of; None when not known.

    Raises `WeightsError`.
    """
    bases, deltas = Reader(base), Reader(delta)
    _check_names(bases, deltas)
    facts = json_of(delta / FILE)
    dtypes = facts.get("dtypes", {})
    digest = hashlib.sha256()
    with Writer(target) as writer:
        writer.copy_companions(delta)
        for name in with_progress(deltas.names, say):
            added = deltas.get(name)
            # Deltas of other tools (FastChat's) say nothing of precision: theirs is the target's.
            dtype = getattr(torch, str(dtypes.get(name, ""))) if name in dtypes else added.dtype
            whole = _sum(_grown(bases, name, added.shape), added, dtype)
            _update(digest, name, whole)
            writer.add(name, whole)
        if facts.get("exact") and digest.hexdigest() != facts.get("sha256"):
            raise WeightsError(
                f"{base} is not the base that {delta} was made with: the sum is not the original. Get the very "
                "same revision."
            )
    return digest.hexdigest() == facts["sha256"] if "sha256" in facts else None


def _sum(base: torch.Tensor, delta: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return (base + delta.float()).to(dtype)


def _grown(bases: Reader, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The base's tensor in float32, with rows of zeros where the other model has more."""
    base = bases.get(name).float()
    if tuple(base.shape) == tuple(shape):
        return base
    if base.shape[1:] != tuple(shape)[1:] or base.shape[0] > shape[0]:
        raise WeightsError(
            f"{name} has the shape {tuple(base.shape)} in the base and {tuple(shape)} in the other: "
            "these are not of the same model."
        )
    return torch.cat([base, base.new_zeros(shape[0] - base.shape[0], *base.shape[1:])])


def _check_names(bases: Reader, others: Reader) -> None:
    if missing := [name for name in others.names if name not in bases]:
        raise WeightsError(
            f"{bases.folder} lacks {len(missing)} tensors of {others.folder}, the first is {missing[0]}: these are "
            "not of the same model."
        )


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.float() - other.float()).abs().max()) if one.numel() else 0.0


def _update(digest: "hashlib._Hash", name: str, tensor: torch.Tensor) -> None:
    digest.update(name.encode())
    digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
