"""Persistent tokens: learned, input-independent tokens before every sequence or segment."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from blocks.init import Fill, normal


class PersistentTokens(nn.Module):
    """P learned tokens of width M (arXiv:2501.00663, eq. 19); P may be 0."""

    def __init__(self, count: int, dim: int) -> None:
        """count: P >= 0; dim: model width M.

        Raises:
            ValueError: count is negative.
        """
        super().__init__()
        if count < 0:
            raise ValueError(f"persistent_tokens: {count} is negative; 0 means none.")
        self.tokens = nn.Parameter(torch.empty(count, dim))

    def initial(self) -> Mapping[str, Fill]:
        """How the parameters begin: of unit size, as normed tokens are."""
        return {"tokens": normal(1.0)}

    def forward(self) -> Tensor:
        """[P, M], as they are learned: not normed."""
        return self.tokens
