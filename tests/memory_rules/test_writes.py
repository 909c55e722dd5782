"""The law that a token's key and value reach the memory."""

from dataclasses import dataclass

import pytest
from torch import Tensor

from memory_rules import AbstractGradientRule, recurrent
from memory_rules.dense import Dense
from memory_rules.testing import LAWS, check

WRITES = next(law for law in LAWS if law.name == "writes")


@dataclass(frozen=True, kw_only=True)
class Deep(AbstractGradientRule):
    """Two matrices; `cut` takes the gradient of one or of both away."""

    cut: str = ""
    lr: str = "token"
    chunk_size: int = 3

    def shapes(self, dim: int) -> dict[str, tuple[int, int]]:
        return {"a": (dim, dim), "b": (dim, dim)}

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        hidden = dense("a", x).tanh()
        return dense("b", hidden.detach() if self.cut == "first" else hidden)

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        if self.cut == "all":
            return (prediction.detach() - target).square().sum() + 0.0 * prediction.sum()
        return (prediction - target).square().sum()


def test_a_rule_that_descends_writes() -> None:
    assert check(Deep(), recurrent, WRITES).passed


@pytest.mark.parametrize(("cut", "matrix"), [("all", "a"), ("first", "a")])
def test_a_matrix_without_a_gradient_is_found(cut: str, matrix: str) -> None:
    verdict = check(Deep(cut=cut), recurrent, WRITES)
    assert not verdict.passed
    assert verdict.detail == f"{matrix} holds nothing of the token"


def test_a_step_of_zero_writes_nothing_by_its_own_word() -> None:
    assert check(Deep(lr="fixed:0"), recurrent, WRITES).skipped == "its step is always 0"
