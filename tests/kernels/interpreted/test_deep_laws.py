"""Class C in kernels under the laws, in the interpreter; exempt as in `test_laws`."""

from typing import Any

import pytest
import torch

from memory_rules import AbstractMemoryRule, Scan, recurrent
from memory_rules.testing import LAWS, check
from memory_rules.testing.inputs import make_case
from playground.compile import Target
from playground.compile.lowering.triton import TRITON
from playground.compile.lowering.triton_deep import factors_on
from playground.errors import LoweringError
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


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_says_why(what: str) -> None:
    assert TRITON.refuses(small("titans", **REFUSED[what]), Target()) == f"no kernel for {what}"


def test_a_chunk_that_fits_one_gpu_and_not_another_is_refused_there() -> None:
    rule = small("titans", chunk_size=128)
    reasons = [TRITON.refuses(rule, Target(capability=c)) for c in ((8, 0), (9, 0), (10, 0))]
    assert reasons == ["no kernel for chunks of more than 64 tokens", "", ""]


def test_factors_of_32_bits_are_refused_on_a_gpu() -> None:
    with pytest.raises(LoweringError, match="16 bits"):
        factors_on("cuda")
    with torch.autocast("cpu", dtype=torch.float16):
        assert factors_on("cpu") == torch.float16
    assert factors_on("cpu") is None


@pytest.mark.parametrize(
    ("form", "name"), [({}, "oracle equivalence"), (NORMED, "streaming")], ids=["deep", "linear"]
)
def test_representatives(form: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(make_case.__kwdefaults__, "H", 1)  # as in `test_laws`
    rule = small("titans", **form)
    assert not TRITON.refuses(rule, Target())
    verdict = check(rule, TRITON.scan, next(law for law in LAWS if law.name == name))
    assert verdict.passed and not verdict.skipped, verdict


@pytest.mark.slow
class TestDeepTitans(KernelConformance):
    @pytest.fixture
    def scan(self, rule: AbstractMemoryRule) -> Scan:
        """Landmarks also ask for relatives of the rule, which have no kernel."""
        assert not TRITON.refuses(rule, Target())

        def run(rule: Any, state: Any, inputs: Any) -> Any:
            here = recurrent if TRITON.refuses(rule, Target()) else TRITON.scan
            return here(rule, state, inputs)

        return run

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
