"""Causal attention against a loop over rows, and the laws of a stream."""

from typing import Any

import pytest
import torch
from torch import Tensor

from blocks.attention import AttentionState, CausalAttention
from blocks.init import initialise
from blocks.rope import angles, rotate
from blocks.spec import AttentionSpec

DIM, LENGTH, PERSISTENT = 16, 23, 3
CASES: dict[str, dict[str, Any]] = {
    "full": {"window_len": None},
    "full without rope": {"window_len": None, "rope": False},
    "window": {"window_len": 5},
    "window of one": {"window_len": 1},
    "window wider than the text": {"window_len": 64},
    "grouped keys and qk norm": {"window_len": 4, "kv_heads": 2, "qk_norm": "rms"},
    "no persistent tokens": {"window_len": 6, "persistent": 0},
    "full, no persistent tokens": {"window_len": None, "persistent": 0, "kv_heads": 1},
}


def make(case: str) -> tuple[CausalAttention, Tensor]:
    """The module of a case and its persistent tokens."""
    fields = {"rope": True, "persistent": PERSISTENT, **CASES[case]}
    window_len, rope = fields.pop("window_len"), fields.pop("rope")
    persistent = fields.pop("persistent")
    module = CausalAttention(
        AttentionSpec(heads=4, **fields), DIM, window_len=window_len, rope=rope
    )
    initialise(module, 0)
    prefix = torch.randn(persistent, DIM, generator=torch.Generator().manual_seed(1))
    return module.double(), prefix.double()


def tokens(length: int = LENGTH, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, length, DIM, generator=generator, dtype=torch.float64)


def row_by_row(module: CausalAttention, prefix: Tensor, x: Tensor) -> Tensor:
    """The definition: one row and one head at a time, over the keys it may see."""
    project, length = module.project, x.shape[1]
    q, (k, v) = project.normed_q(project.queries(x)), project.keys_values(x)
    k = project.normed_k(k)
    if project.rope:
        turn = angles(torch.arange(length)[None], project.width)
        q, k = rotate(q, turn), rotate(k, turn)
    first_k, first_v = project.keys_values(prefix)
    first_k, share = project.normed_k(first_k), project.heads // project.groups
    out = torch.zeros_like(q)
    for b in range(x.shape[0]):
        for h in range(project.heads):
            g = h // share
            for i in range(length):
                begin = 0 if module.window_len is None else max(0, i - module.window_len + 1)
                keys = torch.cat([first_k[:, g], k[b, begin : i + 1, g]])
                values = torch.cat([first_v[:, g], v[b, begin : i + 1, g]])
                scores = keys @ q[b, i, h] / project.width**0.5
                out[b, i, h] = scores.softmax(0) @ values
    return project.out(out.flatten(-2))


def streamed(
    module: CausalAttention, prefix: Tensor, x: Tensor, parts: list[int]
) -> tuple[Tensor, AttentionState]:
    state, outputs = module.start(2, prefix), []
    for part in x.split(parts, dim=1):
        y, state = module(part, state)
        outputs.append(y)
    return torch.cat(outputs, dim=1), state


@pytest.mark.parametrize("case", CASES)
def test_attention_equals_its_definition(case: str) -> None:
    module, prefix = make(case)
    x = tokens()
    y, _ = module(x, module.start(2, prefix))
    assert (y - row_by_row(module, prefix, x)).abs().max() < 1e-12


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("parts", [[1] * LENGTH, [7, 1, 15], [5, 5, 13], [22, 1], [0, 2, 21]])
def test_any_split_equals_one_pass(case: str, parts: list[int]) -> None:
    module, prefix = make(case)
    x = tokens()
    whole, end = module(x, module.start(2, prefix))
    y, last = streamed(module, prefix, x, parts)
    assert (y - whole).abs().max() < 1e-10
    for name, leaf in end.to_tensordict().items():
        assert torch.allclose(last.get(name).double(), leaf.double(), 0, 1e-10), name


@pytest.mark.parametrize("case", CASES)
def test_a_changed_token_leaves_all_earlier_rows_bit_identical(case: str) -> None:
    module, prefix = make(case)
    x = tokens()
    y, _ = module(x, module.start(2, prefix))
    for t in range(LENGTH):
        other = x.clone()
        other[:, t] += 1.0
        z, _ = module(other, module.start(2, prefix))
        assert torch.equal(z[:, :t], y[:, :t])
        assert not torch.equal(z[:, t], y[:, t])


@pytest.mark.parametrize("case", ["window", "window of one", "grouped keys and qk norm"])
def test_a_window_bounds_the_state(case: str) -> None:
    module, prefix = make(case)
    assert module.window_len is not None
    _, short = streamed(module, prefix, tokens(LENGTH), [LENGTH])
    _, long = streamed(module, prefix, tokens(5 * LENGTH), [1] * (5 * LENGTH))
    assert short.k.shape[1] == long.k.shape[1] == module.window_len - 1
    assert long.num_bytes() == short.num_bytes()
    assert long.k.untyped_storage().nbytes() == long.k.numel() * 8  # no view into a longer call


@pytest.mark.parametrize("case", ["full", "window", "grouped keys and qk norm"])
@pytest.mark.parametrize("parts", [[LENGTH + 4], [3, LENGTH + 1], [1] * (LENGTH + 4)])
def test_padding_on_the_left_changes_nothing(case: str, parts: list[int]) -> None:
    module, prefix = make(case)
    x = tokens()
    padded = torch.cat([torch.full((2, 4, DIM), 9.0, dtype=x.dtype), x], dim=1)
    mask = torch.arange(LENGTH + 4).expand(2, -1) >= 4
    state, outputs = module.start(2, prefix), []
    for part, live in zip(padded.split(parts, 1), mask.split(parts, 1), strict=True):
        y, state = module(part, state, live)
        outputs.append(y)
    y, _ = module(x, module.start(2, prefix))
    assert (torch.cat(outputs, dim=1)[:, 4:] - y).abs().max() < 1e-10


@pytest.mark.parametrize("case", ["full", "window"])
def test_what_a_padded_token_holds_reaches_nobody(case: str) -> None:
    module, prefix = make(case)
    x, mask = tokens(), torch.ones(2, LENGTH, dtype=torch.bool)
    mask[:, 9] = mask[0, 14] = False
    other = x.clone()
    other[:, 9] = 50.0
    y, _ = module(x, module.start(2, prefix), mask)
    z, _ = module(other, module.start(2, prefix), mask)
    assert torch.equal(y[mask], z[mask]) and y.isfinite().all()


def test_gradients_reach_the_persistent_tokens() -> None:
    module, prefix = make("window")
    prefix.requires_grad_()
    y, state = streamed(module, prefix, tokens(), [10, 13])
    y.square().sum().backward()
    assert prefix.grad is not None and prefix.grad.abs().min() > 0
    assert not state.detach().k.requires_grad


@pytest.mark.parametrize("case", ["window", "full"])
def test_gradients_of_a_split_equal_those_of_one_pass(case: str) -> None:
    gradients = []
    for parts in ([LENGTH], [4, 9, 10]):
        module, prefix = make(case)
        x = tokens().requires_grad_()
        streamed(module, prefix, x, parts)[0].square().sum().backward()
        gradients.append([x.grad, *(p.grad for p in module.parameters())])
    for one, two in zip(*gradients, strict=True):
        assert (one - two).abs().max() < 1e-10


def test_given_queries_keys_and_values_are_used_as_they_are() -> None:
    module, prefix = make("window")
    x = tokens()
    outside = CausalAttention(
        AttentionSpec(heads=4), DIM, window_len=5, rope=True, projections=False
    ).double()
    outside.project.out.load_state_dict(module.project.out.state_dict())
    assert not any("project.q" in name for name, _ in outside.named_parameters())
    qkv = module.project.queries(x), *module.project.keys_values(x)
    state = outside.start(2, module.project.keys_values(prefix))
    y, _ = outside(x, state, qkv=qkv)
    assert torch.equal(y, module(x, module.start(2, prefix))[0])


def test_a_position_counts_on_for_ever() -> None:
    module, prefix = make("no persistent tokens")
    x, state = tokens(6), module.start(2, prefix)
    far = state.replace(position=state.position + 10**12)
    assert (module(x, state)[0] - module(x, far)[0]).abs().max() < 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_streams_with_one_precision_in_the_cache(dtype: torch.dtype) -> None:
    module, prefix = make("grouped keys and qk norm")
    module = module.float()
    with torch.no_grad(), torch.autocast("cpu", dtype):
        _, state = streamed(module, prefix.float(), tokens().float(), [9, 14])
    assert state.k.dtype == state.v.dtype == dtype


@pytest.mark.parametrize(
    ("heads", "rope", "problem"), [(3, True, "3 does not divide"), (16, True, "1 wide")]
)
def test_impossible_heads_name_the_field(heads: int, rope: bool, problem: str) -> None:
    with pytest.raises(ValueError, match=f"heads: .*{problem}"):
        CausalAttention(AttentionSpec(heads=heads), DIM, window_len=None, rope=rope)
