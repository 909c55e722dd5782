"""Memory networks: what each computes, written out; features, norms, Newton-Schulz."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from memory_rules import RULES
from memory_rules.dense import Plain, Probed
from memory_rules.networks import NETWORKS, Network, append_one, layer_norm, register_network
from memory_rules.newton_schulz import orthogonal
from memory_rules.testing.inputs import fresh_state, make_inputs
from memory_rules.windowed import powers

D = 6


def weights(network: str, depth: int = 2, expand: float = 2.0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    shapes = NETWORKS[network].shapes(D, depth, expand)
    return {n: torch.randn(*s, generator=g, dtype=torch.float64) for n, s in shapes.items()}


def x() -> Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, D, generator=g, dtype=torch.float64)


def read(network: str, depth: int = 2) -> tuple[dict[str, Tensor], Tensor]:
    w = weights(network, depth)
    return w, NETWORKS[network].read(Plain(w, {}), x(), depth)


def test_vector_scales_each_channel() -> None:
    w, y = read("vector")
    assert w["w"].shape == (1, D)
    torch.testing.assert_close(y, x() * w["w"][0])


def test_linear_is_one_square_matrix() -> None:
    w, y = read("linear")
    torch.testing.assert_close(y, x() @ w["w"])


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_mlp_of_any_depth_has_gelu_between_its_matrices(depth: int) -> None:
    w, y = read("mlp", depth)
    assert len(w) == depth
    z = x()
    for i in range(1, depth + 1):
        z = z @ w[f"w{i}"]
        z = 0.5 * z * (1.0 + torch.erf(z / math.sqrt(2.0))) if i < depth else z
    torch.testing.assert_close(y, z)


def test_swiglu_multiplies_a_gate_with_a_projection() -> None:
    w, y = read("swiglu")
    gate = x() @ w["gate"]
    expected = (gate * torch.sigmoid(gate) * (x() @ w["up"])) @ w["down"]
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_every_network_leads_back_to_the_width_of_a_head(network: str) -> None:
    shapes = NETWORKS[network].shapes(D, 2, 1.5)
    assert list(shapes.values())[-1][1] == D
    assert read(network)[1].shape == x().shape


def test_titans_wraps_its_network_in_norm_and_residual_unless_plain() -> None:
    titans, w = RULES["titans"], weights("linear")
    dense: Any = Plain(w, {})
    y = x() @ w["w"]
    normed = F.layer_norm(y, (D,))
    for fields, expected in (
        ({}, x() + normed),
        ({"residual": False}, normed),
        ({"norm": "none"}, x() + y),
        ({"plain": True}, y),
    ):
        rule = titans(network="linear", **fields)
        torch.testing.assert_close(rule.read(dense, x()), expected)


def test_layer_norm_has_mean_0_and_variance_1() -> None:
    y = layer_norm(x())
    torch.testing.assert_close(y.mean(-1), torch.zeros(2, 3, dtype=y.dtype), atol=1e-12, rtol=0)
    var = x().var(-1, correction=0)
    torch.testing.assert_close(y.var(-1, correction=0), var / (var + 1e-5))


def test_the_last_row_of_a_matrix_is_a_bias_once_a_one_is_appended() -> None:
    w = torch.randn(D + 1, 4, dtype=torch.float64)
    torch.testing.assert_close(append_one(x()) @ w, x() @ w[:-1] + w[-1])


def test_polynomial_features_are_scaled_elementwise_powers() -> None:
    k = x()
    expected = torch.cat([k, k**2 / math.sqrt(2.0), k**3 / math.sqrt(6.0)], -1)
    torch.testing.assert_close(powers(k, 3), expected)
    assert torch.equal(powers(k, 1), k)
    assert RULES["atlas"](degree=3).shapes(D)["w1"] == (3 * D, 4 * D)


@pytest.mark.parametrize("shape", [(4, 4), (3, 9), (9, 3)])
def test_newton_schulz_evens_out_singular_values_and_keeps_the_norm(shape: tuple[int, int]) -> None:
    z = torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y = orthogonal(z)
    torch.testing.assert_close(y.norm(dim=(-2, -1)), z.norm(dim=(-2, -1)))
    values = torch.linalg.svdvals(y)
    assert (values[..., 0] / values[..., -1] < 2.5).all()
    assert (orthogonal(torch.zeros(*shape)) == 0.0).all()


def test_a_matrix_may_be_met_only_once_in_a_read() -> None:
    w = weights("linear")
    dense = Probed(Plain(w, {}), {"w": torch.zeros(2, 3, D, dtype=torch.float64)})
    dense("w", x())
    with pytest.raises(ValueError, match=r"calls dense\('w'\) twice"):
        dense("w", x())


def test_a_network_of_ones_own_becomes_a_legal_value() -> None:
    own = Network(shapes=NETWORKS["linear"].shapes, read=lambda dense, x, depth: dense("w", x) ** 3)
    register_network("cubic", own)
    try:
        assert RULES["titans"](network="cubic").shapes(D) == {"w": (D, D)}
        with pytest.raises(ValueError, match="'cubic' is already registered"):
            register_network("cubic", own)
    finally:
        del NETWORKS["cubic"]


@pytest.mark.compile
def test_memories_of_several_depths_are_compiled_in_one_process() -> None:
    def step(rule, state, x):
        return rule.step(state, x)[0]

    compiled = torch.compile(step, fullgraph=True, backend="eager")
    for depth in (3, 2, 4):
        rule = RULES["titans"](depth=depth, expand=2.0, chunk_size=3)
        state, x = fresh_state(rule), make_inputs(rule, T=1)[:, 0]
        torch.testing.assert_close(compiled(rule, state, x), step(rule, state, x))
