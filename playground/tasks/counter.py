"""Random numbers addressed by (seed, split, example): no generator state, no order of calls."""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PER_BLOCK = 4  # 64-bit numbers that Philox makes per counter value


def draws(
    task: str, seed: int, split: str, first: int, count: int, width: int
) -> NDArray[np.uint64]:
    """Uniform 64-bit numbers for examples first to first + count - 1 of one stream.

    Philox is a keyed function of a counter: row i is made from the counters that belong to
    example i alone, so it is the same whatever is asked for before, after or beside it.

    Args:
        task: name that separates the streams of different tasks.
        seed: any integer.
        split: "train", "val" or "test"; each has its own key, so the streams are unrelated.
        first: index of the first example, >= 0.
        count: number of examples, >= 0.
        width: numbers per example; part of the address (another width is another stream).

    Returns:
        [count, width] uint64.
    """
    label = hashlib.sha256(f"{task}/{seed}/{split}/{width}".encode()).digest()
    blocks = -(-width // PER_BLOCK)
    generator = np.random.Philox(
        key=np.frombuffer(label[:16], dtype=np.uint64).astype(np.uint64), counter=first * blocks
    )
    raw = np.asarray(generator.random_raw(count * blocks * PER_BLOCK), dtype=np.uint64)
    return raw.reshape(count, blocks * PER_BLOCK)[:, :width]


def below(raw: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Integers in [0, limit); the bias of the remainder is below limit / 2^64."""
    return (raw % np.uint64(limit)).astype(np.int64)


def unit(raw: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Floats in (0, 1): never 0, so that their logarithm is finite."""
    return ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


@lru_cache(maxsize=64)  # seeds that are trained side by side
def order(task: str, seed: int, split: str, turn: int, count: int) -> NDArray[np.int64]:
    """[count] int64: 0 to count - 1 in an order of its own for every turn; not to be changed."""
    raw = draws(task, seed, f"{split}/order/{turn}", 0, count, 1)
    found = np.argsort(raw[:, 0], kind="stable")
    found.flags.writeable = False
    return found
