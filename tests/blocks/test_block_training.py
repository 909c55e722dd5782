"""Every parameter learns, on a CPU, with several heads; a trained block can be put away."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch

from memory_rules import RULES
from tests.blocks.small import SEGMENT, SPECS, make_block, make_tokens, memory_spec

LENGTH = SEGMENT + 3


@pytest.mark.parametrize("kind", SPECS)
def test_gradients_reach_every_parameter(kind: str) -> None:
    block: Any = make_block(kind)
    y, _ = block(make_tokens(LENGTH), block.start(2))
    y.square().sum().backward()
    for name, p in block.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        assert (p.grad != 0).any(), name


@pytest.mark.parametrize("rule", ["titans", "ttt_mlp", "gated_delta", "gla", "atlas"])
def test_gradients_reach_every_parameter_of_a_rule(rule: str) -> None:
    fields = {} if "chunk_size" not in RULES[rule].__dataclass_fields__ else {"chunk_size": 4}
    block: Any = make_block("lmm", memory=memory_spec(RULES[rule](**fields)))
    y, _ = block(make_tokens(LENGTH), block.start(2))
    y.square().sum().backward()
    for name, p in block.named_parameters():
        assert p.grad is not None and (p.grad != 0).any(), name


@pytest.mark.parametrize("kind", SPECS)
def test_a_training_step_changes_every_parameter(kind: str) -> None:
    block = make_block(kind).float()
    before = copy.deepcopy(dict(block.named_parameters()))
    optimizer = torch.optim.AdamW(block.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        y, _ = block(make_tokens(LENGTH).float(), block.start(2))  # pyright: ignore
        y.square().mean().backward()
        optimizer.step()
    for name, p in block.named_parameters():
        assert not torch.equal(p, before[name]), name


@pytest.mark.parametrize("kind", SPECS)
def test_a_block_can_be_pickled_and_copied(kind: str) -> None:
    block: Any = make_block(kind)
    x = make_tokens(3)
    y, state = block(x, block.start(2))
    for other in (pickle.loads(pickle.dumps(block)), copy.deepcopy(block)):
        assert torch.equal(other(x, other.start(2))[0], y)
    kept = io.BytesIO()
    torch.save(block.state_dict(), kept)
    assert state.detach().batch_size == (2,)


@pytest.mark.parametrize("kind", SPECS)
def test_a_block_without_persistent_tokens_or_feedforward_works(kind: str) -> None:
    block: Any = make_block(kind, persistent_tokens=0, memory=memory_spec(conv=0))
    y, _ = block(make_tokens(LENGTH), block.start(2))
    assert y.shape == (2, LENGTH, 16)


def test_shared_projections_need_a_key_per_head() -> None:
    from blocks.spec import AttentionSpec

    with pytest.raises(ValueError, match="kv_heads"):
        make_block("mag_shared", attention=AttentionSpec(heads=2, kv_heads=1))
