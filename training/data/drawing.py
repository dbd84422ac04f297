"""Steps: a sample of the records, and their parting into training and validation.

Which side a record falls on follows from its id and the seed alone: the same file gives the same parts whatever its
order, a longer file keeps what it had, and the pieces of one conversation stay together.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

from training.data.records import Record

T = TypeVar("T")


def place(record: Record, seed: int) -> float:
    """A number in [0, 1) that belongs to the record."""
    name = str(record.extra.get("split_from", record.id))
    value = hashlib.blake2b(f"{seed}\x00{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(value) / 2**64


def is_validation(record: Record, share: float, seed: int) -> bool:
    return place(record, seed) < share


def sample(items: Iterable[T], amount: int, seed: int) -> list[T]:
    """`amount` of them (or all), each equally likely, in their order; only so many are held (Vitter's algorithm R)."""
    source = random.Random(seed)  # noqa: S311 - nobody gains from guessing it
    held: list[tuple[int, T]] = []
    for index, item in enumerate(items):
        if index < amount:
            held.append((index, item))
        elif (slot := source.randrange(index + 1)) < amount:
            held[slot] = (index, item)
    return [item for _, item in sorted(held, key=lambda entry: entry[0])]


def shuffled(items: Iterator[T], buffer: int, seed: int) -> Iterator[T]:
    """In another order, as far as a buffer of this size can mix them."""
    source = random.Random(seed)  # noqa: S311 - as above
    held: list[T] = []
    for item in items:
        if len(held) < buffer:
            held.append(item)
            continue
        slot = source.randrange(buffer)
        held[slot], item = item, held[slot]
        yield item
    source.shuffle(held)
    yield from held
