"""How much a vote counts: prompts that everybody copies must not decide the board."""

import numpy as np

from arena.ratings.arrays import Floats, Integers


def for_duplicates(prompt: Integers, *, most: float | None = None) -> Floats:
    """(n,): 1 for a prompt that came up to `most` times; beyond it, all its votes together weigh as much as `most`.

    Without `most`: the 99.9th percentile of how often prompts came, and at least 5. FastChat draws a sample of such
    votes; weights keep every vote and depend on no chance.
    """
    if not len(prompt):
        return np.zeros(0)
    codes = np.unique(prompt, return_inverse=True)[1]
    times = np.bincount(codes).astype(np.float64)
    limit = max(5.0, float(np.quantile(times, 0.999))) if most is None else most
    if not limit > 0:
        raise ValueError("most must be above 0.")
    return np.asarray(np.minimum(1.0, limit / times)[codes])
