"""titans-pytorch's memory for the benchmarks of this folder; the bench has it as a peer too."""

from importlib.util import find_spec

from playground.bench.peers.titans import (
    layer_forward,
    layer_forward_backward,
    learned,
    make_peer,
)

MISSING = "titans-pytorch is not installed: pip install 'test-time-playground[peers]'"


def is_installed() -> bool:
    """Whether the peer can be imported."""
    return find_spec("titans_pytorch") is not None


__all__ = [
    "MISSING",
    "is_installed",
    "layer_forward",
    "layer_forward_backward",
    "learned",
    "make_peer",
]
