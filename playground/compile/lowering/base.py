"""A lowering: one form of a rule's mathematics, and which rules it can run."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from memory_rules import AbstractMemoryRule, Inputs, Scan, State
from playground.compile.target import Target


@dataclass(frozen=True, kw_only=True)
class Lowering:
    """A way to run a rule over tokens.

    name: recurrent, chunked or triton; rank: the lowest that does not refuse is preferred;
    refuses: "" or the reason; bind: the scan of one rule, with its bodies compiled or not.
    by_name: why it is taken only where it is asked for by name; "" if it is not.
    says: what a plan should say of how it runs a rule; "" for nothing.
    """

    name: str
    rank: int
    refuses: Callable[[AbstractMemoryRule, Target], str]
    bind: Callable[[AbstractMemoryRule, bool], Scan]
    by_name: str = ""
    says: Callable[[AbstractMemoryRule], str] = lambda rule: ""

    def scan(self, rule: AbstractMemoryRule, state: State, inputs: Inputs) -> tuple[Tensor, State]:
        """Run a rule over tokens, not compiled; y [B, T, H, V] and the state after them."""
        return self.bind(rule, False)(rule, state, inputs)
