"""The contract of a memory rule: its fields are its spec, its step is its definition."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor

from memory_rules.gates import Gate
from memory_rules.state import Inputs, State

Weights = dict[str, Tensor]


class Rates(NamedTuple):
    """A rule's gates as its filter uses them, per matrix; leading axes as `Inputs.k` has.

    lr, keep (1 - decay), momentum: [..., H] or, for channel gates of `keep`, [..., H, d];
    window: [..., H, lags], how much each of the last tokens counts. None: the rule has none.
    """

    lr: Weights
    keep: Weights
    momentum: Weights | None = None
    window: Weights | None = None


class AbstractMemoryRule:
    """A memory rule: frozen keyword-only dataclasses whose fields are their spec."""

    kind: ClassVar[str]
    paper: ClassVar[str]
    start: Literal["zero", "learned"] = "zero"  # the memory before the first token
    read_at: Literal["after", "before"] = "after"  # the token's own write

    @property
    def gates(self) -> Mapping[str, Gate]:
        """The gates that are learned, by name."""
        return {}

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        """One head's fast weights: name -> (d_in, d_out)."""
        raise NotImplementedError(f"{type(self).__name__} does not say its shapes")

    def writes(self, dim: int) -> tuple[str, ...]:
        """The matrices that tokens write, by name; others keep their starting values."""
        return tuple(self.shapes(dim))

    def slow_shapes(self, dim: int) -> Mapping[str, int]:
        """One head's learned vectors that are not written at test time: name -> width."""
        return {}

    def start_std(self, name: str, dim: int) -> float:
        """Standard deviation a learned starting matrix is drawn with; 1 / sqrt(d_in) by default."""
        return 1.0 / math.sqrt(self.shapes(dim)[name][0])

    def initial_state(
        self, weights: Mapping[str, Tensor], slow: Mapping[str, Tensor], batch: int
    ) -> State:
        """The state before the first token.

        Args:
            weights: starting memory of every matrix, [H, d_in, d_out], owned by the block.
            slow: learned vectors, [H, width].
            batch: number of sequences; their states are views of the same weights.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say its starting state")

    def step(self, state: State, x: Inputs) -> tuple[Tensor, State]:
        """One token: y [B, H, V] and the next state. This is the definition of the rule."""
        raise NotImplementedError(f"{type(self).__name__} does not say its step")
