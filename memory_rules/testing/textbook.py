"""A rule written out again, slowly: one sequence and head at a time, explicit weights, autograd.

Nothing here is shared with `step` or a lowering but what the rule itself says: `read`, `penalty`,
`rates` and, for nonlinear rules, what happens when a chunk closes.
"""

import torch
from torch import Tensor

from memory_rules.base import Rates
from memory_rules.gradient import AbstractGradientRule
from memory_rules.testing.inputs import Case

Matrices = dict[str, Tensor]


class Explicit:
    """`dense` on one sequence and head: weights are plain matrices."""

    def __init__(self, weights: Matrices, slow: Matrices) -> None:
        self.weights, self._slow = weights, slow

    def __call__(self, name: str, x: Tensor) -> Tensor:
        return torch.einsum("...i,io->...o", x, self.weights[name])

    def slow(self, name: str) -> Tensor:
        return self._slow[name]


def textbook(case: Case) -> dict[str, Tensor]:
    """Outputs y [B, T, H, V], the last memory and momentum by name."""
    rule, x = case.rule, case.inputs
    assert isinstance(rule, AbstractGradientRule)
    B, _, H = x.k.shape[:3]
    rates = rule.rates(x)
    rows = [[_Sequence(case, rule, rates, b, h).run() for h in range(H)] for b in range(B)]
    names = rows[0][0].keys()
    joined = {n: torch.stack([torch.stack([r[n] for r in row]) for row in rows]) for n in names}
    joined["y"] = joined["y"].transpose(1, 2)
    return joined


class _Sequence:
    """One sequence of one head."""

    def __init__(
        self, case: Case, rule: AbstractGradientRule, rates: Rates, b: int, h: int
    ) -> None:
        self.rule, self.b, self.h, self.rates = rule, b, h, rates
        x = case.inputs
        self.q, self.k, self.v = (t[b, :, h] for t in (x.q, x.k, x.v))
        tokens = self.k.shape[0]
        self.live = [True] * tokens if x.mask is None else x.mask[b].tolist()
        self.slow = {n: w[h] for n, w in case.slow.items()}
        self.start = {n: w[h] for n, w in case.weights.items()}

    def run(self) -> Matrices:
        """All tokens in turn: outputs y [T, V], the last memory and momentum."""
        rule, outputs = self.rule, []
        self.dual = dict(self.start)
        memory = dict(self.start)
        if rule.nonlinear_close:
            memory = {n: rule.open_matrix(w[None, None])[0, 0] for n, w in memory.items()}
        momentum = {n: torch.zeros_like(w) for n, w in memory.items()}
        self.open(memory, momentum)
        for t in range(len(self.live)):
            before = memory
            if self.live[t]:
                memory, momentum = self.token(t, memory, momentum)
            reading = memory if rule.read_at == "after" else before
            outputs.append(rule.read(Explicit(reading, self.slow), self.q[t : t + 1])[0])
            if rule.chunked and (t + 1) % rule.chunk_size == 0:
                if rule.nonlinear_close:
                    memory = self.close(memory, momentum)
                self.open(memory, momentum)
        kept = {f"memory.{n}": w for n, w in memory.items()}
        if rule.has_momentum:
            kept |= {f"momentum.{n}": s for n, s in momentum.items()}
        return {"y": torch.stack(outputs), **kept}

    def open(self, memory: Matrices, momentum: Matrices) -> None:
        """Begin a chunk at `memory`: its anchor, drafts and kept share."""
        self.anchor = memory
        self.drafts = [(memory, momentum)] * self.rule.passes
        self.kept = {n: torch.ones_like(w) for n, w in memory.items()}

    def token(self, t: int, memory: Matrices, momentum: Matrices) -> tuple[Matrices, Matrices]:
        """Memory and momentum after token t."""
        if not self.rule.chunked:
            at = memory
            if self.rule.surprise_at == "decayed_memory":
                at = {n: self.retain(n, w, t) for n, w in memory.items()}
        else:
            at = self.anchor
            for level, (w, s) in enumerate(self.drafts):
                self.drafts[level] = self.write(t, w, s, self.surprise(t, at))
                at = w
        self.kept = {n: self.retention(n, t) * kept for n, kept in self.kept.items()}
        return self.write(t, memory, momentum, self.surprise(t, at))

    def surprise(self, t: int, at: Matrices) -> Matrices:
        """The gradient at token t, summed over the rule's window of tokens where it has one."""
        window = self.rates.window
        if window is None:
            return self.gradient(t, at)
        total = {n: torch.zeros_like(w) for n, w in at.items()}
        for lag in range(min(self.rule.window, t + 1)):
            if self.live[t - lag]:
                for n, g in self.gradient(t - lag, at).items():
                    total[n] = total[n] + window[n][self.b, t, self.h, lag] * g
        return total

    def gradient(self, t: int, at: Matrices) -> Matrices:
        """Autograd's gradient of token t's loss to every matrix of `at`."""
        with torch.enable_grad():
            leaves = {n: w.detach().requires_grad_() for n, w in at.items()}
            prediction = self.rule.read(Explicit(leaves, self.slow), self.k[t : t + 1])
            loss = self.rule.penalty(prediction, self.v[t : t + 1])
            grads = torch.autograd.grad(
                loss, list(leaves.values()), allow_unused=True, materialize_grads=True
            )
        return dict(zip(leaves, grads, strict=True))

    def retention(self, n: str, t: int) -> Tensor:
        """The share of matrix n that token t keeps, as it multiplies [d_in, d_out]."""
        keep = self.rates.keep[n][self.b, t, self.h]
        if self.rule.side == "key":
            return keep[:, None]
        return keep[None, :] if self.rule.side == "value" else keep

    def retain(self, n: str, w: Tensor, t: int) -> Tensor:
        """Matrix n after token t's decay, towards zero or its start."""
        keep = self.retention(n, t)
        if self.rule.decay_towards == "start":
            return keep * w + (1.0 - keep) * self.start[n]
        return keep * w

    def write(
        self, t: int, memory: Matrices, momentum: Matrices, surprise: Matrices
    ) -> tuple[Matrices, Matrices]:
        """Decay, then the step along momentum and surprise: new memory and momentum."""
        new: Matrices = {}
        carried: Matrices = {}
        for n, w in memory.items():
            step = -self.rates.lr[n][self.b, t, self.h] * surprise[n]
            if self.rates.momentum is not None:
                step = step + self.rates.momentum[n][self.b, t, self.h] * momentum[n]
            carried[n] = step
            new[n] = self.retain(n, w, t) + step
        return new, carried

    def close(self, memory: Matrices, momentum: Matrices) -> Matrices:
        """The memory after a chunk's end, for rules whose last step is nonlinear."""
        closed: Matrices = {}
        for n, linear in memory.items():
            decayed = self.kept[n] * self.anchor[n]
            if self.rule.decay_towards == "start":
                decayed = decayed + (1.0 - self.kept[n]) * self.start[n]
            w, dual = self.rule.close_matrix(
                decayed=decayed[None, None],
                linear=linear[None, None],
                momentum=momentum[n][None, None],
                dual=(self.kept[n] * self.dual[n])[None, None],
            )
            closed[n], self.dual[n] = w[0, 0], dual[0, 0]
        return closed
