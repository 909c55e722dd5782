"""The bodies that the compiler replaces have no graph breaks; compiled, they say the same."""

from typing import Any

import pytest
import torch

from memory_rules import RULES
from tests.blocks.small import SPECS, make_block, make_tokens, memory_spec

pytestmark = [
    pytest.mark.compile,
    # dynamo looks at .grad of the state's tensors and hides the warning, but not from "error"
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),
]

LENGTH = 2  # the recurrent scan is unrolled, and slow to trace


def compiled(block: Any) -> Any:
    torch.compiler.reset()
    for body in block.bodies:
        setattr(block, body, torch.compile(getattr(block, body), fullgraph=True, backend="eager"))
    return block


def small_block(kind: str) -> Any:
    return make_block(kind, memory=memory_spec(RULES["delta"]()))


@pytest.mark.parametrize("kind", SPECS)
def test_a_body_is_one_graph(kind: str) -> None:
    plain, block = small_block(kind), compiled(small_block(kind))
    x = make_tokens(LENGTH)
    results = []
    for each in (plain, block):
        y, _ = each(x, each.start(2))
        y.square().sum().backward()
        results.append((y, [p.grad for p in each.parameters()]))
    (y, grads), (z, grads2) = results
    assert (y - z).abs().max() < 1e-12
    assert all(torch.allclose(a, b, 1e-9, 1e-12) for a, b in zip(grads, grads2, strict=True))


def test_a_body_with_padding_is_one_graph() -> None:
    plain, block = small_block("mac"), compiled(small_block("mac"))
    x, mask = make_tokens(LENGTH), torch.tensor([[False, True], [True, True]])
    y, z = (each(x, each.start(2), mask)[0] for each in (plain, block))
    assert (y - z)[mask].abs().max() < 1e-12


def test_observing_does_not_break_the_graph() -> None:
    plain, block = small_block("lmm"), compiled(small_block("lmm"))
    x = make_tokens(LENGTH)
    for each in (plain, block):
        each.memory.observing = True
        each(x, each.start(2))
    assert block.memory.observe() == pytest.approx(plain.memory.observe())


@pytest.mark.parametrize("grad", [True, False])
def test_segments_of_any_length_of_input_share_their_graphs(grad: bool) -> None:
    block = compiled(make_block("mac", memory=memory_spec(RULES["delta"]()), segment_len=LENGTH))
    with torch.set_grad_enabled(grad):
        block(make_tokens(3 * LENGTH), block.start(2))
        with torch.compiler.set_stance("fail_on_recompile"):
            for segments in (2, 5):
                block(make_tokens(segments * LENGTH), block.start(2))
