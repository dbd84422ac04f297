"""FastChat's `rating_systems.py` on the votes of `arena.benchmarks.ratings`, in a process of its own.

    python -m arena.benchmarks.fastchat BATTLES MODELS

Its times are those at its defaults: our package asks numpy for one thread of linear algebra, from which FastChat's pool
of processes gains as well, so this process is started with as many threads as numpy takes by itself. Prints one line of
JSON: seconds of each step, and its ratings.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

MODULE = "fastchat.serve.monitor.rating_systems"
PATIENCE = 600


def installed() -> bool:
    """Whether FastChat and pandas are importable."""
    try:
        return find_spec("pandas") is not None and find_spec(MODULE) is not None
    except ImportError:  # no package that it could be in
        return False


def measured(battles: int, models: int) -> dict[str, Any]:
    """`plain`, `bootstrap` and `style` in seconds, and `ratings`. Raises `RuntimeError` with FastChat's last words."""
    threads = str(os.cpu_count() or 1)
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(battles), str(models)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise RuntimeError(f"FastChat's code ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main(battles: int, models: int) -> dict[str, Any]:
    from arena.benchmarks.ratings import make, timed

    made = make(battles, models)
    module: Any = import_module(MODULE)
    names = np.array(made.votes.models)
    frame = import_module("pandas").DataFrame(
        {
            "model_a": names[made.votes.left],
            "model_b": names[made.votes.right],
            "winner": np.array(["model_b", "tie", "model_a"])[(2 * made.votes.score).astype(int)],
        }
    )
    keys = module.STYLE_CONTROL_ELEMENTS_V1
    both = np.hstack([made.left, made.right]).astype(int).tolist()
    frame["conv_metadata"] = [dict(zip(keys, row, strict=True)) for row in both]
    ratings, plain = timed(lambda: module.compute_bt(frame), 1)
    _, bootstrap = timed(lambda: module.compute_bootstrap_bt(frame, 100), 1)
    _, control = timed(lambda: module.compute_style_control(frame), 1)
    return {
        "plain": plain,
        "bootstrap": bootstrap,
        "style": control,
        "ratings": {name: float(ratings[name]) for name in made.votes.models},
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))  # noqa: T201 - the answer to `measured`
