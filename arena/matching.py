"""Which pair fights: probabilities over unordered pairs. Pure: knows names and numbers, no database and no chance."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple


class Pinned(NamedTuple):
    """A pair that gets a share of all battles."""

    first: str
    second: str
    share: float


class Pair(NamedTuple):
    """Unordered: `first` sorts before `second`."""

    first: str
    second: str


def pair(one: str, other: str) -> Pair:
    return Pair(*sorted((one, other)))


def by_weight(weights: Mapping[str, float]) -> dict[Pair, float]:
    """Each pair in proportion to the product of its weights; all pairs alike when every product is zero.

    The probabilities add up to 1. Fewer than two names give no pairs.
    """
    products = {pair(a, b): weights[a] * weights[b] for a, b in combinations(sorted(weights), 2)}
    total = sum(products.values())
    if not total:
        return {key: 1 / len(products) for key in products}
    return {key: product / total for key, product in products.items() if product > 0}


def times_weights(chances: Mapping[Pair, float], weights: Mapping[str, float]) -> dict[Pair, float]:
    """`chances` shifted by the product of each pair's weights; they add up to 1 again.

    Weights that leave nothing change nothing.
    """
    shifted = {key: chance * weights[key.first] * weights[key.second] for key, chance in chances.items()}
    total = sum(shifted.values())
    return {key: chance / total for key, chance in shifted.items() if chance} if total else dict(chances)


def with_pinned(
    chances: Mapping[Pair, float], pinned: Iterable[Pinned], names: Iterable[str]
) -> dict[Pair, float]:
    """Give each pinned pair of `names` its share, and leave the rest to `chances`.

    Shares that add up to more than 1 are scaled down to 1.
    """
    alive = set(names)
    shares: dict[Pair, float] = {}
    for first, second, share in pinned:
        if {first, second} <= alive and first != second and share > 0:
            key = pair(first, second)
            shares[key] = shares.get(key, 0.0) + share
    taken = sum(shares.values())
    if taken > 1:
        shares = {key: share / taken for key, share in shares.items()}
        taken = 1.0
    mixed = {key: chance * (1 - taken) for key, chance in chances.items() if chance * (1 - taken) > 0}
    for key, share in shares.items():
        mixed[key] = mixed.get(key, 0.0) + share
    return mixed
