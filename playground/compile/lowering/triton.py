"""The Triton lowering: kernels for what torch.compile cannot reach. None is written yet."""

from memory_rules import AbstractMemoryRule, Scan
from playground.compile.lowering.base import Lowering
from playground.compile.lowering.classify import classify
from playground.compile.target import Target
from playground.errors import LoweringError

KERNELS: frozenset[str] = frozenset()  # classes of rules that have one


def _refuses(rule: AbstractMemoryRule, target: Target) -> str:
    if target.device != "cuda":
        return f"needs CUDA, target is {target.device}"
    kind, _ = classify(rule)
    return "" if kind in KERNELS else f"no kernel for class {kind}"


def _bind(rule: AbstractMemoryRule, compiled: bool) -> Scan:
    kind, _ = classify(rule)
    raise LoweringError(rule.kind, "triton cannot run it.", {"triton": f"no kernel for {kind}"})


TRITON = Lowering(name="triton", rank=0, refuses=_refuses, bind=_bind)
