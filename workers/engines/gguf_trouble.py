"""Why llama.cpp could not load a file: its own answer is "failed", and the reason a page of C++ output."""

import re
from pathlib import Path

import psutil

from workers import checkpoints, gguf
from workers.chat_template import BadTemplate


def weights_bytes(path: Path) -> int:
    """About what the weights take in memory: the size of the file, or of all its parts."""
    name = re.sub(r"-\d{5}-of-(\d{5}\.gguf)$", r"-*-of-\1", path.name)
    return sum(part.stat().st_size for part in path.parent.glob(name))


def reason(path: Path, *, own_template: bool, beside: str = "") -> str:
    """One sentence with the likeliest cause and what helps. Never raises. `beside`: files that were loaded with it."""
    try:
        header = gguf.read_header(path)
    except gguf.NotGguf:
        return "its header is damaged or cut off; fetch it again."
    except OSError as error:
        return f"it cannot be read, {error.strerror or error}."
    promised = sum(tensor.bytes for tensor in header.tensors)
    if path.stat().st_size < promised:
        return (
            f"it is cut off after {_size(path.stat().st_size)} of at least {_size(promised)}; fetch it again, for "
            "example with `manage.py models pull`."
        )
    if own_template and (trouble := _template_trouble(path)):
        return f"{trouble.rstrip('.')}; choose a prompt format with --template."
    free = psutil.virtual_memory().available
    if weights_bytes(path) > free:
        return (
            f"it is too large for the memory, of which {_size(weights_bytes(path))} are needed and {_size(free)} are "
            "free; take a file with fewer bits, or another machine."
        )
    if beside:
        return (
            f"it goes with {beside}, which may be damaged, made for other weights, or of a kind that this version of "
            "llama.cpp does not know; try without."
        )
    architecture = header.metadata.get("general.architecture", "not named")
    return (
        f"the file may be damaged, this version of llama.cpp may not know its architecture ({architecture}), or the "
        "context is too large for the memory; try a smaller --context."
    )


def _template_trouble(path: Path) -> str:
    try:
        checkpoints.own_template(path)
    except (BadTemplate, checkpoints.BadCheckpoint) as error:
        return str(error)
    return ""


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
