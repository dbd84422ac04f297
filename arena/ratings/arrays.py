"""Names for the array types that the ratings use, and the units of a rating."""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]

SCALE = 400.0  # points per factor of ten in the odds, as chess and FastChat have it
CENTRE = 1000.0  # the average rating when nothing is anchored
POINTS = SCALE / math.log(10.0)  # points per unit of log-odds


def logistic(x: Floats) -> Floats:
    """1 / (1 + e^-x) that neither overflows nor warns, however large |x|."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small), dtype=np.float64)
