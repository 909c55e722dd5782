"""Class C in kernels under the laws, in the interpreter; exempt as in `test_laws`."""

from typing import Any

import pytest

from memory_rules import AbstractMemoryRule
from memory_rules.testing import LAWS, check
from playground.compile import Target
from playground.compile.lowering.triton import TRITON
from tests.kernels.interpreted.test_laws import KernelConformance
from tests.memory_rules.test_laws import small

NORMED: dict[str, Any] = {"network": "linear", "read_at": "before", "momentum": "none"}
REFUSED: dict[str, dict[str, Any]] = {
    "network: swiglu": {"network": "swiglu"},
    "depth: 3": {"depth": 3},
    "objective: huber": {"objective": "huber"},
    "decay: channel": {"decay": "channel"},
    "decay_towards: start": {"decay_towards": "start"},
    "chunks of more than 128 tokens": {"chunk_size": 256},
}
QUICK = ("precision", "chunk of one", "streaming", "mask")


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_says_why(what: str) -> None:
    assert TRITON.refuses(small("titans", **REFUSED[what]), Target()) == f"no kernel for {what}"


@pytest.mark.parametrize("name", QUICK)
def test_the_linear_memory_with_a_norm_keeps_the_main_laws(name: str) -> None:
    rule = small("titans", **NORMED)
    assert not TRITON.refuses(rule, Target())
    verdict = check(rule, TRITON.scan, next(law for law in LAWS if law.name == name))
    assert verdict.passed and not verdict.skipped, verdict


def test_the_deep_memory_equals_the_recurrence() -> None:
    law = next(law for law in LAWS if law.name == "oracle equivalence")
    assert check(small("titans"), TRITON.scan, law).passed


@pytest.mark.slow
class TestDeepTitans(KernelConformance):
    @pytest.fixture(
        params=[
            {},
            NORMED,
            {"residual": False, "norm": "none", "per_layer": False},
            {"plain": True, "depth": 1, "decay": "head", "lr": "fixed:0.1"},
            {"decay": "none", "momentum": "fixed:0.8", "lr_scale": "none"},
        ],
        ids=lambda p: "-".join(p) or "default",
    )
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small("titans", **request.param)
