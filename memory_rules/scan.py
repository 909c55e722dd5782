"""The recurrent scan: a rule token by token. Slow, and right: every lowering is held to it."""

from typing import Protocol

import torch
from torch import Tensor

from memory_rules.base import AbstractMemoryRule
from memory_rules.state import Inputs, State


class Scan(Protocol):
    """Runs a rule over tokens; y: [B, T, H, V]."""

    def __call__(
        self, rule: AbstractMemoryRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]: ...


def recurrent(rule: AbstractMemoryRule, state: State, inputs: Inputs) -> tuple[Tensor, State]:
    """The definition: `rule.step` for every token in turn; y [B, T, H, V] and the last state."""
    outputs = []
    for t in range(inputs.batch_size[1]):
        y, state = rule.step(state, inputs[:, t])
        outputs.append(y)
    if not outputs:
        return torch.zeros_like(inputs.v), state
    return torch.stack(outputs, dim=1), state
