"""A kernel at fixed sizes, to be compiled for a GPU that need not be here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kernel at fixed sizes.

    Attributes:
        kernel: a `triton.jit` function; arguments named `*_ptr` are tensors.
        sizes: what they are, in words.
        fixed: what it is told at compile time; None for a tensor that is not there.
        rows: of its smallest tile that enters a product.
        warps: of a program.
        types: of its tensors, by name and as Triton writes them; the others are "fp32".
        stages: of loads ahead of products.
    """

    kernel: Any
    sizes: str
    fixed: Mapping[str, Any]
    rows: int
    warps: int
    types: Mapping[str, str] = field(default_factory=dict)
    stages: int = 1

    @property
    def name(self) -> str:
        """Of the kernel, after the file it stands in: names of kernels are not unique."""
        file = self.kernel.__module__.rpartition(".")[2].removesuffix("_kernels")
        return f"{file}.{self.kernel.__name__}"

    def kind(self, argument: str) -> str:
        """The type of an argument that is not fixed."""
        return f"*{self.types.get(argument, 'fp32')}" if argument.endswith("_ptr") else "i32"
