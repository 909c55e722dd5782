"""The attention backends of a GPU see the same keys as the plain softmax, with all gradients."""

import pytest
import torch
from torch import Tensor

from blocks.attend import Backend, make_attend, refuses
from blocks.masks import Sight, causal, segment_context, sliding_window
from blocks.spec import AttentionSpec
from tests.blocks.patterns import rows_of

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's own, while it compiles for CUDA
SIGHTS: dict[str, Sight] = {
    "causal": causal(200),
    "causal behind a prefix": causal(200, prefix=4),
    "window": sliding_window(200, 32),
    "window behind a prefix": sliding_window(200, 32, prefix=4),
    "segment": segment_context(130, prefix=4),
}


def skip_without(backend: Backend) -> None:
    """Skip, with the reason, where a backend has no kernels for the torch that is here."""
    if why := refuses(backend, AttentionSpec(heads=2), torch.device("cuda")):
        pytest.skip(why)


def plainly(q: Tensor, k: Tensor, v: Tensor, sight: Sight) -> Tensor:
    """Softmax over all visible keys at once."""
    scores = torch.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
    hidden = ~sight.dense(q.shape[1], q.device)
    return torch.einsum("bhts,bshd->bthd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)


@pytest.mark.parametrize("backend", ["sdpa", "flex", "xformers"])
@pytest.mark.parametrize("name", SIGHTS)
def test_backends_are_the_plain_softmax(name: str, backend: Backend) -> None:
    skip_without(backend)
    sight, g = SIGHTS[name], torch.Generator("cuda").manual_seed(0)
    rows = (rows_of(sight), sight.columns, sight.columns)
    made = [torch.randn(2, n, 2, 64, generator=g, device="cuda") for n in rows]
    towards = torch.randn(2, rows[0], 2, 64, generator=g, device="cuda").double()

    def found(dtype: torch.dtype, attend: object) -> list[Tensor]:
        inputs = [t.bfloat16().to(dtype).requires_grad_() for t in made]
        y = plainly(*inputs, sight) if attend is None else attend(*inputs, sight, 0.0)  # pyright: ignore
        return [y, *torch.autograd.grad((y * towards.to(dtype)).sum(), inputs)]

    exact, plain = found(torch.float64, None), found(torch.bfloat16, None)
    for want, other, one in zip(
        exact, plain, found(torch.bfloat16, make_attend(backend)), strict=True
    ):
        assert (one.double() - want).norm() <= 2.0 * (other.double() - want).norm()
