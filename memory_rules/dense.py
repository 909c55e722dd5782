"""`dense(name, x)`: how a memory network touches its weights, and the ways it can be run.

A memory network calls `dense("w1", x)` where it means `x @ w1`, and `dense.slow("gain")` for a
learned weight that is not written at test time. What `dense` is decides what the network computes.
"""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from memory_rules.filters import Filter


class Dense(Protocol):
    """The linear maps of a memory network; x: [..., d_in] -> [..., d_out]."""

    def __call__(self, name: str, x: Tensor) -> Tensor: ...

    def slow(self, name: str) -> Tensor: ...


class Plain:
    """The network as it stands: `x @ weights[name]`; weights [B, H, d_in, d_out]."""

    def __init__(self, weights: Mapping[str, Tensor], slow: Mapping[str, Tensor]) -> None:
        self.weights, self._slow = weights, slow

    def __call__(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[name]

    def slow(self, name: str) -> Tensor:
        return self._slow[name].unsqueeze(-2)


class Probed:
    """The key pass: any inner `dense`, plus a zero probe whose gradient is the error signal.

    Records the input of every linear map in `seen`; the gradient of the objective with respect to
    `probe[name]` at token t is then that token's own error, and the outer product of the two its
    surprise, which is never built.
    """

    def __init__(self, inner: Dense, probe: Mapping[str, Tensor]) -> None:
        self.inner, self.probe = inner, probe
        self.seen: dict[str, Tensor] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name in self.seen:
            raise ValueError(f"read: calls dense({name!r}) twice; give each linear map a matrix.")
        self.seen[name] = x
        return self.inner(name, x) + self.probe[name]

    def slow(self, name: str) -> Tensor:
        return self.inner.slow(name)


class Filtered:
    """Every token reads with its own memory, as matrix products (the dual form).

        b * (x @ memory) + c * (x @ momentum) - (A * (x @ X^T)) @ D     (+ what decay returns to)

    memory, momentum: where the filter starts; X, D: inputs and error signals of the key pass.
    side: "scalar" for gates [B, H, C]; "key" and "value" for channel gates, whose filter has the
    channel before the token axis: b [B, H, d, C], A [B, H, d, C, I].
    """

    def __init__(
        self,
        memory: Mapping[str, Tensor],
        momentum: Mapping[str, Tensor],
        start: Mapping[str, Tensor],
        slow: Mapping[str, Tensor],
        filters: Mapping[str, Filter],
        X: Mapping[str, Tensor],
        D: Mapping[str, Tensor],
        side: str = "scalar",
    ) -> None:
        self.memory, self.momentum, self.start, self._slow = memory, momentum, start, slow
        self.filters, self.X, self.D, self.side = filters, X, D, side

    def __call__(self, name: str, x: Tensor) -> Tensor:
        f, base = self.filters[name], self.memory[name]
        if self.start:
            base = base - self.start[name]
        y = self._mix(f, name, x, base)
        return y + x @ self.start[name] if self.start else y

    def _mix(self, f: Filter, name: str, x: Tensor, base: Tensor) -> Tensor:
        X, D = self.X[name], self.D[name]
        if self.side == "scalar":
            y = f.b.unsqueeze(-1) * (x @ base) - (f.A * (x @ X.mT)) @ D
            return y if f.c is None else y + f.c.unsqueeze(-1) * (x @ self.momentum[name])
        if self.side == "key":
            scores = (x.mT.unsqueeze(-1) * f.A * X.mT.unsqueeze(-2)).sum(-3)
            y = (f.b.mT * x) @ base - scores @ D
            return y if f.c is None else y + (f.c.mT * x) @ self.momentum[name]
        weighted = f.A * (x @ X.mT).unsqueeze(-3)  # [B, H, d, C, I]
        y = f.b.mT * (x @ base) - (weighted @ D.mT.unsqueeze(-1)).squeeze(-1).mT
        return y if f.c is None else y + f.c.mT * (x @ self.momentum[name])

    def slow(self, name: str) -> Tensor:
        return self._slow[name].unsqueeze(-2)
