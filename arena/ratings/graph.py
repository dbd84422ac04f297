"""Who can be compared with whom, and whether the likelihood has a maximum at all."""

import numpy as np

from arena.ratings.arrays import Booleans, Floats, Integers


def reachable(edges: Booleans) -> Booleans:
    """(M, M): whether j can be reached from i, by repeated squaring. Every model reaches itself."""
    paths = edges | np.eye(len(edges), dtype=np.bool_)
    while True:
        # Floats, not booleans: numpy multiplies only those with BLAS.
        longer = (paths.astype(np.float64) @ paths.astype(np.float64)) > 0
        if (longer == paths).all():
            return np.asarray(paths)
        paths = longer


def groups(mutual: Booleans) -> Integers:
    """(M,): the number of each model's group, where `mutual` is an equivalence; in order of first members."""
    if not len(mutual):
        return np.zeros(0, dtype=np.int64)
    first = mutual.argmax(axis=1)  # the smallest member names the group
    return np.unique(first, return_inverse=True)[1].astype(np.int64)


def components(games: Floats) -> Integers:
    """(M,): models with the same number are connected by votes; ratings compare only within one number."""
    return groups(reachable((games + games.T) > 0))


def strong_components(wins: Floats) -> Integers:
    """(M,): models with the same number have beaten (or tied) each other, directly or through others.

    The likelihood has a finite maximum exactly when every connected component is one strong component
    (Zermelo 1929; Ford 1957).
    """
    paths = reachable(wins > 0)
    return groups(paths & paths.T)
