"""Textbook recurrences, each written out by hand, against the rules that claim to be them.

Per head: memory [d_key, d_value], `y = q @ memory`; row vectors, as everywhere in this project.
"""

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from memory_rules import RULES, recurrent
from memory_rules.testing import Case, make_case

D, T, EXACT = 4, 9, 1e-12
Matrices = dict[str, Tensor]


def run(case: Case) -> tuple[Tensor, Any]:
    with torch.no_grad():
        return recurrent(case.rule, case.state(), case.inputs)


def heads(case: Case) -> Iterator[tuple[int, int, Matrices]]:
    """Every (sequence, head) with its starting weights."""
    B, _, H = case.inputs.k.shape[:3]
    for b, h in product(range(B), range(H)):
        yield b, h, {n: w[h].clone() for n, w in case.weights.items()}


def gate(case: Case, name: str, matrix: str, b: int, h: int) -> Tensor:
    return case.inputs.gates[name, matrix][b, :, h]


def agree(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=EXACT, atol=EXACT)


def deep_case(rule: Any) -> Case:
    """Gates near their starting values: a deep memory amplifies rounding under wild ones."""
    return make_case(rule, T=T, gates="default")


Step = Callable[[Case, Tensor, Tensor, Tensor, int, int, int], Tensor]


def check_matrix(case: Case, step: Step) -> None:
    """A linear memory: `step(case, memory, k, v, b, h, t)` is the textbook's next memory."""
    y, state = run(case)
    x = case.inputs
    for b, h, weights in heads(case):
        S = weights["w"]
        for t in range(x.k.shape[1]):
            S = step(case, S, x.k[b, t, h], x.v[b, t, h], b, h, t)
            agree(y[b, t, h], x.q[b, t, h] @ S)
        agree(state.memory["w"][b, h], S)


def test_linear_attention_sums_outer_products() -> None:
    def step(case: Case, S: Tensor, k: Tensor, v: Tensor, *_: int) -> Tensor:
        return S + torch.outer(k, v)

    check_matrix(make_case(RULES["linear_attention"](), T=T), step)


def test_retention_decays_each_head_by_its_own_power_of_two() -> None:
    def step(case: Case, S: Tensor, k: Tensor, v: Tensor, b: int, h: int, t: int) -> Tensor:
        return (1.0 - 2.0 ** -(5.0 + h)) * S + torch.outer(k, v)

    check_matrix(make_case(RULES["retention"](), T=T, H=3), step)


def test_ssd_discretises_with_a_step_that_also_scales_the_write() -> None:
    def step(case: Case, S: Tensor, k: Tensor, v: Tensor, b: int, h: int, t: int) -> Tensor:
        delta, rate = (gate(case, n, "w", b, h)[t] for n in ("step", "rate"))
        return math.exp(-delta * rate) * S + delta * torch.outer(k, v)

    check_matrix(make_case(RULES["ssd"](), T=T), step)


def test_ssd_equals_its_semiseparable_matrix() -> None:
    case = make_case(RULES["ssd"](), T=T)
    zero = {"w": torch.zeros_like(case.weights["w"])}
    y, _ = run(Case(rule=case.rule, weights=zero, slow={}, inputs=case.inputs))
    x = case.inputs
    for b, h, _ in heads(case):
        delta, rate = (gate(case, n, "w", b, h) for n in ("step", "rate"))
        log = torch.cumsum(-delta * rate, 0)
        L = torch.exp(log[:, None] - log[None, :]).tril()
        scores = (x.q[b, :, h] @ x.k[b, :, h].T) * L * delta
        agree(y[b, :, h], scores @ x.v[b, :, h])


def test_gla_decays_every_key_channel_by_itself() -> None:
    def step(case: Case, S: Tensor, k: Tensor, v: Tensor, b: int, h: int, t: int) -> Tensor:
        alpha = 1.0 - gate(case, "decay", "w", b, h)[t]
        return torch.diag(alpha) @ S + torch.outer(k, v)

    check_matrix(make_case(RULES["gla"](), T=T), step)


def test_delta_is_a_householder_like_correction_with_beta_twice_lr() -> None:
    def step(case: Case, S: Tensor, k: Tensor, v: Tensor, b: int, h: int, t: int) -> Tensor:
        beta = 2.0 * gate(case, "lr", "w", b, h)[t]
        return S - beta * torch.outer(k, k @ S) + beta * torch.outer(k, v)

    check_matrix(make_case(RULES["delta"](), T=T), step)


def test_gated_delta_decays_before_it_corrects() -> None:
    def step(case: Case, S: Tensor, k: Tensor, v: Tensor, b: int, h: int, t: int) -> Tensor:
        beta = 2.0 * gate(case, "lr", "w", b, h)[t]
        alpha = 1.0 - gate(case, "decay", "w", b, h)[t]
        return alpha * (torch.eye(D) - beta * torch.outer(k, k)).to(S) @ S + beta * torch.outer(
            k, v
        )

    check_matrix(make_case(RULES["gated_delta"](), T=T), step)


def test_longhorn_is_the_solution_of_its_implicit_step() -> None:
    """The published closed form, and that it minimises what it says it does."""

    def step(case: Case, S: Tensor, k: Tensor, v: Tensor, b: int, h: int, t: int) -> Tensor:
        beta = gate(case, "strength", "w", b, h)[t]
        delta = beta / (1.0 + beta * (k @ k))
        new = S - delta * torch.outer(k, k @ S) + delta * torch.outer(k, v)
        W = new.clone().requires_grad_()
        with torch.enable_grad():
            loss = (W - S).square().sum() + beta * (k @ W - v).square().sum()
            (slope,) = torch.autograd.grad(loss, W)
        assert slope.abs().max() < EXACT
        return new

    case = make_case(RULES["longhorn"](max_strength=5.0), T=T)
    longer = case.with_leaves({**case.leaves(), "k": 2.0 * case.inputs.k})
    check_matrix(longer, step)


@pytest.mark.parametrize("kind", ["momentum_delta", "titans"])
@pytest.mark.parametrize("lr_scale", ["none", "one_minus_momentum"])
def test_momentum_delta_is_linear_titans_token_by_token(kind: str, lr_scale: str) -> None:
    choices = {"network": "linear", "plain": True, "chunk_size": 1} if kind == "titans" else {}
    case = make_case(RULES[kind](lr_scale=lr_scale, **choices), T=T)
    y, state = run(case)
    x = case.inputs
    for b, h, weights in heads(case):
        M, S = weights["w"], torch.zeros(D, D, dtype=torch.float64)
        for t in range(T):
            alpha, eta, theta = (gate(case, n, "w", b, h)[t] for n in ("decay", "momentum", "lr"))
            theta = theta * (1.0 - eta) if lr_scale == "one_minus_momentum" else theta
            k, v = x.k[b, t, h], x.v[b, t, h]
            S = eta * S - theta * 2.0 * torch.outer(k, k @ M - v)
            M = (1.0 - alpha) * M + S
            agree(y[b, t, h], x.q[b, t, h] @ M)
        agree(state.memory["w"][b, h], M)
        agree(state.momentum["w"][b, h], S)


def test_momentum_delta_without_momentum_at_the_decayed_memory_is_gated_delta() -> None:
    ours = make_case(RULES["momentum_delta"](surprise_at="decayed_memory"), T=T)
    gates = ours.inputs.gates.clone()
    gates["momentum", "w"] = torch.zeros_like(gates["momentum", "w"])
    inputs = ours.inputs.replace(gates=gates)
    y, _ = run(Case(rule=ours.rule, weights=ours.weights, slow={}, inputs=inputs))
    theirs = Case(rule=RULES["gated_delta"](), weights=ours.weights, slow={}, inputs=inputs)
    agree(y, run(theirs)[0])


def layer_norm(z: Tensor) -> Tensor:
    z = z - z.mean(-1, keepdim=True)
    return z / (z.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def gelu(z: Tensor) -> Tensor:
    return 0.5 * z * (1.0 + torch.erf(z / math.sqrt(2.0)))


def two_layers(W: Matrices, x: Tensor) -> Tensor:
    """Titans' memory: M(x) = x + LN(gelu(x W1) W2)."""
    return x + layer_norm(gelu(x @ W["w1"]) @ W["w2"])


def slopes(loss: Callable[[Matrices], Tensor], W: Matrices) -> Matrices:
    with torch.enable_grad():
        leaves = {n: w.detach().requires_grad_() for n, w in W.items()}
        return dict(zip(W, torch.autograd.grad(loss(leaves), list(leaves.values())), strict=True))


Loss = Callable[[Tensor, Tensor], Tensor]


def check_deep(case: Case, read: Callable[[Matrices, Tensor], Tensor], loss: Loss) -> None:
    """Gradient at the chunk's start, per-matrix gates, momentum where there is such a gate."""
    rule: Any = case.rule
    y, state = run(case)
    x = case.inputs
    for b, h, M in heads(case):
        S = {n: torch.zeros_like(w) for n, w in M.items()}
        for t in range(x.k.shape[1]):
            k, v = x.k[b, t, h], x.v[b, t, h]
            if t % rule.chunk_size == 0:
                anchor = M
            u = slopes(lambda W, k=k, v=v: loss(read(W, k), v), anchor)
            for n in M:
                theta, alpha = gate(case, "lr", n, b, h)[t], gate(case, "decay", n, b, h)[t]
                eta = gate(case, "momentum", n, b, h)[t] if rule.has_momentum else 0.0
                S = {**S, n: eta * S[n] - theta * (1.0 - eta) * u[n]}
                M = {**M, n: (1.0 - alpha) * M[n] + S[n]}
            agree(y[b, t, h], read(M, x.q[b, t, h]))
        for n, w in M.items():
            agree(state.memory[n][b, h], w)


def squared(e: Tensor, v: Tensor) -> Tensor:
    return (e - v).square().sum()


@pytest.mark.parametrize("chunk_size", [1, 4])
def test_titans_with_two_layers_is_the_papers_recurrence(chunk_size: int) -> None:
    check_deep(deep_case(RULES["titans"](chunk_size=chunk_size)), two_layers, squared)


@pytest.mark.parametrize("chunk_size", [1, 4])
def test_yaad_bounds_the_pull_of_large_errors(chunk_size: int) -> None:
    def huber(prediction: Tensor, v: Tensor) -> Tensor:
        norm = (prediction - v).norm()
        if norm <= 1.5:
            return norm.square()
        return 2.0 * 1.5 * norm - 1.5**2

    check_deep(deep_case(RULES["yaad"](chunk_size=chunk_size, delta=1.5)), two_layers, huber)


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_moneta_reads_the_normalised_accumulator_of_lp_gradients(chunk_size: int) -> None:
    """The published map: with a floor near 0, W = A / ||A||_4^2 when a chunk ends."""
    case = deep_case(RULES["moneta"](chunk_size=chunk_size, floor=1e-6))
    y, _ = run(case)
    x = case.inputs

    def image(A: Tensor) -> Tensor:
        return A / A.abs().pow(4).sum().pow(0.25) ** 2

    for b, h, A in heads(case):
        W = {n: image(a) for n, a in A.items()}
        anchor = W
        for t in range(T):
            k, v = x.k[b, t, h], x.v[b, t, h]
            u = slopes(lambda M, k=k, v=v: (two_layers(M, k) - v).abs().pow(3).sum(), anchor)
            for n in W:
                eta, alpha = gate(case, "lr", n, b, h)[t], 1.0 - gate(case, "decay", n, b, h)[t]
                A = {**A, n: alpha * A[n] - eta * u[n]}
                W = {**W, n: alpha * W[n] - eta * u[n]}
            agree(y[b, t, h], two_layers(W, x.q[b, t, h]))
            if (t + 1) % chunk_size == 0:
                W = {n: image(a) for n, a in A.items()}
                anchor = W


def test_moneta_keeps_a_small_accumulator_small_by_its_floor() -> None:
    rule = RULES["moneta"]()
    A = torch.randn(1, 1, D, D, dtype=torch.float64)
    for scale in (0.0, 1e-6, 1.0, 1e6):
        assert rule.open_matrix(scale * A).abs().pow(4).sum() <= 1.0


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("chunk_size", [1, 4])
def test_omega_descends_a_weighted_window_of_errors(window: int, chunk_size: int) -> None:
    case = deep_case(RULES["omega"](chunk_size=chunk_size, window=window, degree=2))

    def read(W: Matrices, x: Tensor) -> Tensor:
        features = torch.cat([x, x * x / math.sqrt(2.0)], -1)
        return x + layer_norm(gelu(features @ W["w1"]) @ W["w2"])

    y, _ = run(case)
    x = case.inputs
    for b, h, M in heads(case):
        k, v = x.k[b, :, h], x.v[b, :, h]
        for t in range(T):
            if t % chunk_size == 0:
                anchor = M
            grads = [
                slopes(lambda W, k=k[i], v=v[i]: squared(read(W, k), v), anchor)
                for i in range(t, max(-1, t - window), -1)
            ]
            for n in M:
                weights = gate(case, "window", n, b, h)[t] if window > 1 else [1.0]
                u = sum(weight * g[n] for weight, g in zip(weights, grads, strict=False))
                eta, alpha = gate(case, "lr", n, b, h)[t], 1.0 - gate(case, "decay", n, b, h)[t]
                M = {**M, n: alpha * M[n] - eta * u}
            agree(y[b, t, h], read(M, x.q[b, t, h]))


def ttt_network(kind: str, W: Matrices, x: Tensor) -> Tensor:
    """The fast part with biases as published: a matrix and a row."""
    if kind == "ttt_linear":
        return x @ W["w"][:-1] + W["w"][-1]
    hidden = gelu(x @ W["w1"][:-1] + W["w1"][-1])
    return hidden @ W["w2"][:-1] + W["w2"][-1]


@pytest.mark.parametrize("kind", ["ttt_linear", "ttt_mlp"])
@pytest.mark.parametrize("chunk_size", [1, 4])
def test_ttt_reconstructs_v_minus_k_from_the_start_of_its_mini_batch(
    kind: str, chunk_size: int
) -> None:
    case = deep_case(RULES[kind](chunk_size=chunk_size))
    y, _ = run(case)
    x = case.inputs
    for b, h, W in heads(case):
        gain, offset = 1.0 + case.slow["gain"][h], case.slow["offset"][h]

        def normed(M: Matrices, x: Tensor, gain: Tensor = gain, offset: Tensor = offset) -> Tensor:
            return gain * layer_norm(ttt_network(kind, M, x)) + offset

        for t in range(T):
            k, v, q = x.k[b, t, h], x.v[b, t, h], x.q[b, t, h]
            if t % chunk_size == 0:
                start = W
            u = slopes(lambda M, k=k, v=v: 0.5 * (normed(M, k) - (v - k)).square().sum(), start)
            W = {n: w - gate(case, "lr", n, b, h)[t] / D * u[n] for n, w in W.items()}
            agree(y[b, t, h], q + normed(W, q))


def test_ttt_with_equal_steps_is_the_published_mini_batch_matrix_form() -> None:
    """The dual form of TTT-Linear for one mini-batch, bias included."""
    case = make_case(RULES["ttt_linear"](chunk_size=T), T=T - 1)
    y, _ = run(case)
    x = case.inputs
    for b, h, weights in heads(case):
        W, bias = weights["w"][:-1], weights["w"][-1]
        gain, offset = 1.0 + case.slow["gain"][h], case.slow["offset"][h]
        K, V, Q = (z[b, :, h] for z in (x.k, x.v, x.q))
        Z = K @ W + bias
        hat = layer_norm(Z)
        g = gain * (gain * hat + offset - (V - K))
        std = ((Z - Z.mean(-1, keepdim=True)).square().mean(-1, keepdim=True) + 1e-5).sqrt()
        G = (g - g.mean(-1, keepdim=True) - hat * (g * hat).mean(-1, keepdim=True)) / std
        step = gate(case, "lr", "w", b, h) / D
        past = torch.tril(torch.ones(T - 1, T - 1, dtype=torch.float64)) * step
        Zq = Q @ W + bias - (past * (Q @ K.T + 1.0)) @ G
        agree(y[b, :, h], Q + gain * layer_norm(Zq) + offset)


def test_atlas_steps_along_orthogonalised_momentum_when_a_chunk_ends() -> None:
    """With a window of one, plain linear network: W <- kept W + NS(S), S of the whole chunk."""
    C = 4
    choices = {"network": "linear", "plain": True, "degree": 1, "window": 1, "chunk_size": C}
    case = make_case(RULES["atlas"](**choices), T=C)
    _, state = run(case)
    x = case.inputs
    for b, h, weights in heads(case):
        W, S, kept = weights["w"], torch.zeros(D, D, dtype=torch.float64), 1.0
        for t in range(C):
            alpha, eta, theta = (gate(case, n, "w", b, h)[t] for n in ("decay", "momentum", "lr"))
            k, v = x.k[b, t, h], x.v[b, t, h]
            S = eta * S - theta * (1.0 - eta) * 2.0 * torch.outer(k, k @ W - v)
            kept = kept * (1.0 - alpha)
        y = S / S.norm()
        for _ in range(5):
            y = 3.4445 * y + (-4.7750 * y @ y.T + 2.0315 * y @ y.T @ y @ y.T) @ y
        agree(state.memory["w"][b, h], kept * W + y / y.norm() * S.norm())
        agree(state.momentum["w"][b, h], S)


def test_layer_norm_here_is_torchs() -> None:
    z = torch.randn(3, D, dtype=torch.float64)
    agree(layer_norm(z), F.layer_norm(z, (D,)))


@pytest.mark.parametrize(
    ("momenta", "share", "growth"),
    [((0.0, 0.9, 0.9, 0.9), 1.0, 2.106), ((0.9,), 1.0, 0.949), ((0.0, *[0.99] * 39), 0.1, 2.101)],
)
def test_momentum_that_changes_by_token_lets_a_bounded_step_diverge(
    momenta: tuple[float, ...], share: float, growth: float
) -> None:
    """One key, one direction: (memory, momentum) go through the 2 x 2 matrices of the recurrence,
    whose products can grow where each shrinks. Constant, momentum is stable at that step."""
    rule = RULES["titans"](network="linear", plain=True, anchor="token", decay="none")
    lr = [share * (1 - m) for m in momenta]  # the largest, 1/2 of |M k - v|^2, is a whole write
    step = [[[1 - a, m], [-a, m]] for a, m in zip(lr, momenta, strict=True)]
    period = torch.linalg.multi_dot([*map(torch.tensor, reversed(step)), torch.eye(2)])
    assert float(torch.linalg.eigvals(period).abs().max()) == pytest.approx(growth, abs=1e-3)
    case = make_case(rule, T=40 * len(momenta))
    x = case.inputs
    x.k.copy_(x.k[:, :1].expand_as(x.k) / x.k[:, :1].norm(dim=-1, keepdim=True))
    x.v.zero_()
    x.gates["lr", "w"].fill_(0.5 * share)
    x.gates["momentum", "w"].copy_(torch.tensor(momenta).repeat(40)[None, :, None])
    with torch.no_grad():
        _, end = recurrent(rule, case.state(), x)
        read = (x.k[:, -1].unsqueeze(-2) @ end.memory["w"]).abs().max()
    assert (read > 1e3) == (growth > 1.0)
