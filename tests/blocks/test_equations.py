"""LMM, MAC, MAG and MAL equal their equations, written out here token by token, head by head.

Nothing below uses the blocks' own code: parameters are looked up by name, every sum over tokens is
a loop, and the memory's gradient is taken at explicit matrices. One sequence at a time.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.blocks.small import CHUNK, DIM, HEADS, SCANS, SEGMENT, WINDOW, make_block, make_tokens

D = DIM // HEADS
LENGTH = 2 * SEGMENT + 3
Weights = dict[str, Tensor]


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / torch.sqrt(x.square().mean() + 1e-6) * weight


def heads(x: Tensor) -> list[Tensor]:
    return [x[h * D : (h + 1) * D] for h in range(HEADS)]


class Memory:
    """Titans (eqs. 13-16) and the layer around it, one sequence, one token at a time."""

    def __init__(self, p: Weights) -> None:
        self.p = p
        self.now = [{n: p[f"memory.memory.{n}"][h] for n in ("w1", "w2")} for h in range(HEADS)]
        self.surprise = [{n: torch.zeros_like(w) for n, w in m.items()} for m in self.now]
        self.anchor = [dict(m) for m in self.now]
        self.seen = 0
        self.past: dict[str, list[Tensor]] = {"q": [], "k": [], "v": []}

    def net(self, w: Weights, x: Tensor) -> Tensor:
        y = F.gelu(x @ w["w1"]) @ w["w2"]
        return x + (y - y.mean()) / torch.sqrt(y.var(unbiased=False) + 1e-5)

    def convolved(self, name: str, x: Tensor, past: list[Tensor]) -> list[Tensor]:
        past.append(self.p[f"memory.project.{name}.weight"] @ x)
        kernel = self.p[f"memory.conv.{name}.weight"]
        y = torch.zeros(DIM, dtype=x.dtype)
        for back in range(min(4, len(past))):
            y = y + kernel[3 - back] * past[-1 - back]
        y = y * torch.sigmoid(y)
        if name == "v":
            return heads(y)
        return [t / torch.sqrt(t.square().sum() + 1e-6) for t in heads(y)]

    def gate(self, name: str, matrix: str, h: int, x: Tensor) -> Tensor:
        head = f"memory.gates.heads.{name}_{matrix}"
        return torch.sigmoid(self.p[f"{head}.weight"][h] @ x + self.p[f"{head}.bias"][h])

    def write_and_read(self, x: Tensor) -> Tensor:
        """Write token x, then read with its own query: y [M]."""
        q, k, v = (self.convolved(n, x, self.past[n]) for n in "qkv")
        for h in range(HEADS):
            at = {n: w.detach().requires_grad_(True) for n, w in self.anchor[h].items()}
            loss = (self.net(at, k[h]) - v[h]).square().sum()
            gradient = torch.autograd.grad(loss, [at["w1"], at["w2"]])
            for n, g in zip(("w1", "w2"), gradient, strict=True):
                momentum, decay = self.gate("momentum", n, h, x), self.gate("decay", n, h, x)
                lr = self.gate("lr", n, h, x) / (2 * CHUNK) * (1 - momentum)
                self.surprise[h][n] = momentum * self.surprise[h][n] - lr * g
                self.now[h][n] = (1 - decay) * self.now[h][n] + self.surprise[h][n]
        self.seen += 1
        if self.seen % CHUNK == 0:
            self.anchor = [dict(m) for m in self.now]
        return self.said([self.net(self.now[h], q[h]) for h in range(HEADS)], x)

    def read(self, x: Tensor, memory: list[Weights], past: list[Tensor]) -> Tensor:
        """Read `memory` with the query of x; `past` is the query convolution's own."""
        q = self.convolved("q", x, past)
        return self.said([self.net(memory[h], q[h]) for h in range(HEADS)], x)

    def said(self, m: list[Tensor], x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.p["memory.gate.weight"] @ x)
        return self.p["memory.out.weight"] @ (
            rms(torch.cat(m), self.p["memory.norm.weight"]) * gate
        )

    def begin(self) -> None:
        """The chunk phase begins after the persistent tokens."""
        self.seen, self.anchor = 0, [dict(m) for m in self.now]


def turned(x: Tensor, position: int) -> Tensor:
    y = x.clone()
    for i in range(D // 2):
        angle = position * 10_000.0 ** (-2 * i / D)
        y[i] = math.cos(angle) * x[i] - math.sin(angle) * x[i + D // 2]
        y[i + D // 2] = math.sin(angle) * x[i] + math.cos(angle) * x[i + D // 2]
    return y


def attend(
    p: Weights,
    row: tuple[Tensor, int],
    context: list[tuple[Tensor, int | None]],
    project: str = "attention.project.",
) -> Tensor:
    """Softmax attention of one row to tokens with a position, or without (persistent)."""
    out = []
    for h in range(HEADS):
        rows = slice(h * D, (h + 1) * D)
        q = turned((p[project + "q.weight"] @ row[0])[rows], row[1])
        scores, values = [], []
        for token, position in context:
            k = (p[project + "k.weight"] @ token)[rows]
            k = k if position is None else turned(k, position)
            scores.append((q @ k) / math.sqrt(D))
            values.append((p[project + "v.weight"] @ token)[rows])
        weights = torch.softmax(torch.stack(scores), 0)
        out.append(sum(w * v for w, v in zip(weights, values, strict=True)))
    return p["attention.project.out.weight"] @ torch.cat(out)


def feedforward(p: Weights, x: Tensor) -> Tensor:
    z = rms(x, p["feedforward.norm.weight"])
    up, gate = (p[f"feedforward.network.{n}.weight"] @ z for n in ("up", "gate"))
    return x + p["feedforward.network.down.weight"] @ (gate * torch.sigmoid(gate) * up)


def gated(p: Weights, y: Tensor, m: Tensor) -> Tensor:
    return rms(y, p["gate.norm_y.weight"]) * torch.sigmoid(rms(m, p["gate.norm_m.weight"]))


def normed(p: Weights, x: Tensor) -> list[Tensor]:
    return [rms(t, p["norm.weight"]) for t in x]


def lmm(p: Weights, x: Tensor) -> Tensor:
    memory = Memory(p)
    for token in normed(p, p["persistent.tokens"]):
        memory.write_and_read(token)
    memory.begin()
    return torch.stack(
        [feedforward(p, t + memory.write_and_read(z)) for t, z in zip(x, normed(p, x), strict=True)]
    )


def mag(p: Weights, x: Tensor, project: str = "attention.project.") -> Tensor:
    memory, persistent, z = Memory(p), normed(p, p["persistent.tokens"]), normed(p, x)
    for token in persistent:
        memory.write_and_read(token)
    memory.begin()
    rows = []
    for t in range(len(z)):
        context: list[tuple[Tensor, int | None]] = [(token, None) for token in persistent]
        context += [(z[i], i) for i in range(max(0, t - WINDOW + 1), t + 1)]
        y = attend(p, (z[t], t), context, project)  # eq. 27
        m = memory.write_and_read(z[t])
        rows.append(feedforward(p, x[t] + gated(p, y, m)))  # eq. 28
    return torch.stack(rows)


def mal(p: Weights, x: Tensor, inner: bool = False) -> Tensor:
    memory, before = Memory(p), p["persistent.tokens"]
    said = [memory.write_and_read(token) for token in normed(p, before)]
    memory.begin()
    said += [memory.write_and_read(token) for token in normed(p, x)]  # eq. 30
    if inner:
        said = [t + m for t, m in zip(torch.cat([before, x]), said, strict=True)]
    z, P = [rms(t, p["attention_norm.weight"]) for t in said], len(before)
    rows = []
    for t in range(len(x)):
        context: list[tuple[Tensor, int | None]] = [(z[i], None) for i in range(P)]
        context += [(z[P + i], i) for i in range(max(0, t - WINDOW + 1), t + 1)]
        rows.append(feedforward(p, x[t] + attend(p, (z[P + t], t), context)))  # eq. 31
    return torch.stack(rows)


def mac(p: Weights, x: Tensor, literal: bool = False, inner: bool = False) -> Tensor:
    """Eqs. 21-25; `inner`: x is added to what is written; `literal`: as they are printed, which
    leaks the future inside a segment."""
    memory, persistent, z = Memory(p), normed(p, p["persistent.tokens"]), normed(p, x)
    queries: list[Tensor] = []
    rows = []
    for first in range(0, len(z), SEGMENT):
        segment = z[first : first + SEGMENT]
        before = [dict(m) for m in memory.now]
        h = [memory.read(token, before, queries) for token in segment]  # eq. 21
        attended = []
        for j, token in enumerate(segment):
            context: list[tuple[Tensor, int | None]] = [(t, None) for t in persistent]
            context += [(h[i], i) for i in range(len(segment) if literal else j + 1)]  # eq. 22
            context += [(segment[i], i) for i in range(j + 1)]
            attended.append(attend(p, (token, j), context))  # eq. 23
        told = [x[first + j] + y if inner else y for j, y in enumerate(attended)]
        written = [rms(y, p["written_norm.weight"]) for y in told]
        past = list(memory.past["q"])
        answers = [memory.write_and_read(y) for y in written]  # eq. 24
        if literal:
            answers = [memory.read(y, memory.now, past) for y in written]
        for j, (y, m) in enumerate(zip(attended, answers, strict=True)):
            rows.append(feedforward(p, x[first + j] + gated(p, y, m)))  # eq. 25
    return torch.stack(rows)


EQUATIONS: dict[str, Callable[[Weights, Tensor], Tensor]] = {
    "lmm": lmm,
    "mac": mac,
    "mac_inner": lambda p, x: mac(p, x, inner=True),
    "mag": mag,
    "mag_shared": lambda p, x: mag(p, x, "memory.project."),
    "mal": mal,
    "mal_inner": lambda p, x: mal(p, x, inner=True),
}


def weights_of(block: nn.Module) -> Weights:
    return {name: p.detach() for name, p in block.named_parameters()}


@pytest.mark.parametrize("kind", EQUATIONS)
def test_a_block_equals_its_equations_written_out(kind: str) -> None:
    x = make_tokens(LENGTH)
    expected = [EQUATIONS[kind](weights_of(make_block(kind)), row) for row in x]
    for scan in SCANS:
        block: Any = make_block(kind, scan=scan)
        y, _ = block(x, block.start(2))
        assert (y - torch.stack(expected)).abs().max() < 1e-9, scan


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("kind", EQUATIONS)
def test_changing_a_token_leaves_every_earlier_output_as_it_was(kind: str, scan: str) -> None:
    """Row t of the batch is changed at token t, so two passes see every position."""
    block: Any = make_block(kind, scan=scan)
    x = make_tokens(LENGTH, batch=1).expand(LENGTH, -1, -1)
    other, rows = x.clone(), torch.arange(LENGTH)
    other[rows, rows] += 1.0
    with torch.no_grad():
        y, z = (block(t, block.start(LENGTH))[0] for t in (x, other))
    for t in range(LENGTH):
        assert torch.equal(z[t, :t], y[t, :t]), t
        assert not torch.equal(z[t, t], y[t, t]), t


def test_mac_letter_by_letter_leaks_the_future() -> None:
    weights = weights_of(make_block("mac"))
    x = make_tokens(SEGMENT, batch=1)[0]
    other = x.clone()
    other[4] += 1.0
    causal = mac(weights, other)[:4] - mac(weights, x)[:4]
    literal = mac(weights, other, literal=True)[:4] - mac(weights, x, literal=True)[:4]
    assert causal.abs().max() == 0.0
    assert literal.abs().max() > 1e-3


def test_the_order_of_the_context_changes_nothing_but_rounding() -> None:
    x = make_tokens(LENGTH)
    first: Any = make_block("mac")
    second: Any = make_block("mac", context_order="persistent_segment_retrieved")
    y, z = first(x, first.start(2))[0], second(x, second.start(2))[0]
    assert (y - z).abs().max() < 1e-12
