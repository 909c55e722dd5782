"""The forms a rule can run in, best first; each says which rules it refuses, and why."""

from playground.compile.lowering.base import Lowering
from playground.compile.lowering.chunked import CHUNKED
from playground.compile.lowering.classify import classify
from playground.compile.lowering.recurrent import RECURRENT
from playground.compile.lowering.triton import TRITON

LOWERINGS: tuple[Lowering, ...] = (TRITON, CHUNKED, RECURRENT)

__all__ = ["LOWERINGS", "Lowering", "classify"]
