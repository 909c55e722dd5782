"""The recurrent lowering: the definition of the rule, token by token."""

from memory_rules import AbstractMemoryRule, Scan, recurrent
from playground.compile.lowering.base import Lowering
from playground.compile.target import Target


def _refuses(rule: AbstractMemoryRule, target: Target) -> str:
    return ""


def _bind(rule: AbstractMemoryRule, compiled: bool) -> Scan:
    return recurrent  # a loop over tokens is never compiled


RECURRENT = Lowering(name="recurrent", rank=9, refuses=_refuses, bind=_bind)
