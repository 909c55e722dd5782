"""Random inputs of a scan for a benchmark: a rule, a shape, and gates at one of several scales.

With one distribution of gates a benchmark never meets the subnormal numbers that products of small
ones reach, and a memory that vanishes; on a CPU they can cost a hundred times.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from tensordict import TensorDict
from torch import Tensor

from memory_rules import AbstractMemoryRule
from memory_rules.testing import Case, make_case
from memory_rules.testing.inputs import normal

GateScale = Literal["default", "strong", "weak"]
SCALES: tuple[GateScale, ...] = ("default", "strong", "weak")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}
Dtype = Literal["fp32", "bf16", "fp64"]

FORGETS = ("decay", "step", "rate")  # gates whose upper end forgets
# added to the logits that a gate starts from: (of the gates that forget, of momentum)
SHIFTS: dict[GateScale, tuple[float, float]] = {
    "default": (0.0, 0.0),
    "strong": (7.0, -5.0),
    "weak": (-5.0, 3.0),
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of one call; width: of a head; dtype: of the tokens (memories are at least fp32).

    A model has its own heads and widths: both are 0 there.
    """

    batch: int = 2
    length: int = 1024
    heads: int = 4
    width: int = 64
    dtype: Dtype = "fp32"

    @property
    def tokens(self) -> int:
        """Tokens of the call, all sequences together."""
        return self.batch * self.length

    def __str__(self) -> str:
        heads = f"-H{self.heads}-D{self.width}" if self.heads else ""
        return f"B{self.batch}-T{self.length}{heads}-{self.dtype}"


def make_problem(
    rule: AbstractMemoryRule,
    shape: Shape,
    *,
    scale: GateScale = "default",
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Case:
    """A problem for a scan, a function of its arguments alone.

    Args:
        rule: says which gates it wants.
        shape: sizes and precision.
        scale: default, around the gates' starting values; strong, where about nine tenths of the
            memory are forgotten per token; weak, where almost nothing is.
        device: where its tensors are drawn and lie.
        seed: of its own generator.
    """
    sizes = {"B": shape.batch, "T": shape.length, "H": shape.heads, "dim": shape.width}
    case = make_case(rule, **sizes, seed=seed, gates="default", device=device)
    generator = torch.Generator(device).manual_seed(seed + 104729)
    forget, momentum = SHIFTS[scale]
    gates: dict[str, TensorDict] = {}
    for name, of in case.inputs.gates.items():
        gate, shift = rule.gates[name], 0.0
        if name in FORGETS or name == "momentum":
            shift = forget if name in FORGETS else momentum
        made = {}
        for matrix, like in of.items():
            logits = gate.logit + shift + 0.5 * _normal(like, gate.kind == "head", generator)
            made[matrix] = gate.of(logits)
        gates[name] = TensorDict(made, batch_size=of.batch_size)
    inputs = case.inputs.replace(gates=TensorDict(gates, batch_size=case.inputs.batch_size))
    moved = replace(case, inputs=inputs).to(DTYPES[shape.dtype])
    leaves = {n: x.contiguous() for n, x in moved.leaves().items()}
    return moved.with_leaves(leaves)


def _normal(like: Tensor, constant: bool, generator: torch.Generator) -> Tensor:
    """Standard normal of the shape of a gate; the same for every token of a gate per head."""
    size = list(like.shape)
    if constant:
        size[1] = 1
    return normal(size, generator).expand(like.shape)
