"""`dense(name, x)`: how a memory network touches its weights, and the ways it can be run.

A memory network calls `dense("w1", x)` where it means `x @ w1`, and `dense.slow("gain")` for a
learned weight that is not written at test time. What `dense` is decides what the network computes.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from memory_rules.filters import Filter, Side


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

        [b * x, c * x] @ [memory; momentum] - (A * (x @ X^T)) @ D     (+ what decay returns to)

    joint: memory and, with momentum, momentum below it, [B, H, d_in or 2 d_in, d_out], where the
    filter starts; X, D: inputs and error signals of the key pass. side: "scalar" for gates
    [B, H, C]; "key" and "value" for channel gates, whose filter has the channel before the token
    axis: b [B, H, d, C], A [B, H, d, C, I].
    Records what every linear map says in `said`; a map named in `known` says that instead, and its
    gradient goes where it would have gone: what a forward pass has said, backward need not ask.
    """

    def __init__(
        self,
        joint: Mapping[str, Tensor],
        start: Mapping[str, Tensor],
        slow: Mapping[str, Tensor],
        filters: Mapping[str, Filter],
        X: Mapping[str, Tensor],
        D: Mapping[str, Tensor],
        side: Side = "scalar",
        known: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.joint, self.start, self._slow = joint, start, slow
        self.filters, self.X, self.D, self.side = filters, X, D, side
        self.known = {} if known is None else known
        self.said: dict[str, Tensor] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        y = self._mix(self.filters[name], name, x)
        if name in self.known:
            y = _As.apply(y, self.known[name])
        self.said[name] = y
        return y

    def _mix(self, f: Filter, name: str, x: Tensor) -> Tensor:
        X, D, joint = self.X[name], self.D[name], self.joint[name]
        start = self.start.get(name)
        if start is not None:
            joint = joint - (start if f.c is None else F.pad(start, (0, 0, 0, start.shape[-2])))
        if self.side == "value":
            rows = x.shape[-1]
            weighted = f.A * (x @ X.mT).unsqueeze(-3)  # [B, H, d, C, I]
            now = f.b.mT * (x @ joint[..., :rows, :])
            now = now - (weighted @ D.mT.unsqueeze(-1)).squeeze(-1).mT
            now = now if f.c is None else now + f.c.mT * (x @ joint[..., rows:, :])
        else:
            wide = self.side == "key"
            b, *c = (t.mT if wide else t.unsqueeze(-1) for t in (f.b, f.c) if t is not None)
            read = torch.cat([b * x, c[0] * x], -1) if c else b * x
            if wide:
                scores = (x.mT.unsqueeze(-1) * f.A * X.mT.unsqueeze(-2)).sum(-3)
            else:
                scores = f.A * (x @ X.mT)
            now = read @ joint - scores @ D
        return now if start is None else now + x @ start

    def slow(self, name: str) -> Tensor:
        return self._slow[name].unsqueeze(-2)


class _As(torch.autograd.Function):
    """A value that is known already, with the gradient of the computation that would give it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(computed: Tensor, known: Tensor) -> Tensor:
        return known.clone()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        pass

    @staticmethod
    def backward(ctx, *grads: Tensor):
        return grads[0], None
