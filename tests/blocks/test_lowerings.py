"""Models of LMM, MAC, MAG and MAL in both forms of their memory: causal, and the same numbers.

Three segments of MAC and some tokens more: memories cross the ends of segments and of chunks, and
stop in the middle of both.
"""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from memory_rules import RULES
from tests.blocks.small import CHUNK, SCANS, SEGMENT, SPECS, VOCAB, make_model, memory_spec

LENGTH = 3 * SEGMENT + 5
SHORT: dict[str, Any] = {"chunk_size": CHUNK}
OWN_CHUNKS = 64 + 5  # more than the tokens in a chunk of a rule for which they change no number
MEMORIES = {
    "titans": (memory_spec(), LENGTH),
    "gated_delta": (memory_spec(RULES["gated_delta"]()), OWN_CHUNKS),
    "omega": (memory_spec(RULES["omega"](**SHORT)), LENGTH),
    "moneta": (memory_spec(RULES["moneta"](**SHORT)), LENGTH),
}
# every block with Titans, and the other forms of a chunk where a segment cuts them
PAIRS = [(kind, "titans") for kind in SPECS]
PAIRS += [("lmm", "gated_delta"), ("mac", "gated_delta"), ("mac", "omega"), ("mac", "moneta")]
DTYPES = {"fp64": torch.float64, "fp32": torch.float32}


def make_tokens(batch: int = 1, length: int = LENGTH) -> Tensor:
    return torch.randint(0, VOCAB, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("scan", "dtype"), [("recurrent", "fp64"), ("chunked", "fp64"), ("chunked", "fp32")]
)
@pytest.mark.parametrize("kind", SPECS)
def test_a_changed_token_leaves_all_earlier_logits_bit_identical(
    kind: str, scan: str, dtype: str
) -> None:
    """Row t of the batch is changed at token t, so two passes see every position."""
    model = make_model(kind, scan=scan).to(DTYPES[dtype])
    tokens = make_tokens().expand(LENGTH, -1)
    rows = torch.arange(LENGTH)
    other = tokens.clone()
    other[rows, rows] = (other[rows, rows] + 1) % VOCAB
    with torch.no_grad():
        logits, changed = model(tokens), model(other)
    for t in range(LENGTH):
        assert torch.equal(changed[t, :t], logits[t, :t]), t
        assert not torch.equal(changed[t, t], logits[t, t]), t
        if t + 1 < LENGTH:  # and it is remembered
            assert not torch.equal(changed[t, -1], logits[t, -1]), t


def outcome(kind: str, scan: str, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits and last state of one pass over a stream; every gradient of its loss."""
    memory, length = MEMORIES[name]
    model, x = make_model(kind, scan=scan, memory=memory), make_tokens(2, length)
    logits, state = model(x, model.start(2))
    F.cross_entropy(logits[:, :-1].flatten(0, 1), x[:, 1:].flatten()).backward()
    leaves = dict(state.detach().to_tensordict().flatten_keys("/").items())
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), **leaves}, grads


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_chunked_equals_recurrent_over_three_segments(kind: str, name: str) -> None:
    (found, grads), (oracle, oracle_grads) = (outcome(kind, scan, name) for scan in SCANS)
    assert found.keys() == oracle.keys()
    for part, expected in found.items():
        torch.testing.assert_close(oracle[part], expected, rtol=1e-9, atol=1e-9)
    assert grads.keys() == oracle_grads.keys()
    for part, expected in oracle_grads.items():
        torch.testing.assert_close(grads[part], expected, rtol=1e-8, atol=1e-9)
