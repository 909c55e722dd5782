"""Seeds of a run's random streams: independent, and each the same whatever the others do.

    initialisation   a generator per parameter name, keyed by the run's seed (`blocks.init`)
    data             counter-based, keyed by the run's seed, the split and the example
    dropout          set anew for every backward pass from the run's seed and its number

so that a run taken up again needs no generator state, only the step.
"""

import hashlib


def stream(seed: int, name: str, *place: int) -> int:
    """A 63-bit seed for the stream `name` at a place in it, such as (step, pass)."""
    text = ":".join([str(seed), name, *map(str, place)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
