"""LMM: the long-term memory alone as token mixer (arXiv:2501.00663, section 3).

    x' = x + memory(norm(x));   y = x' + feedforward(norm(x'))

Persistent tokens are written to the memory before the first token (eq. 19), once per sequence.
"""

from torch import Tensor, nn

from blocks.feedforward import FeedForwardResidual
from blocks.memory import MemoryLayer, MemoryState
from blocks.norms import Norm, make_norm
from blocks.persistent import PersistentTokens
from blocks.spec import Lmm
from memory_rules import Scan, recurrent


class LmmBlock(nn.Module):
    """Memory and feed-forward; x [B, T, M] -> y [B, T, M]."""

    bodies: tuple[str, ...] = ("forward",)

    def __init__(
        self,
        spec: Lmm,
        dim: int,
        *,
        rope: bool,
        persistent_tokens: int,
        depth: int,
        scan: Scan = recurrent,
        norm: Norm = "rms",
    ) -> None:
        """A block of width `dim`; `rope` has no attention to act on here.

        Args:
            spec: the block's choices.
            dim: model width M.
            rope: positions by rotation, for blocks with attention.
            persistent_tokens: learned tokens before every sequence.
            depth: blocks in the model; not used (`initialise` knows it).
            scan: what runs the memory's rule.
            norm: the norm before mixer and feed-forward.
        """
        super().__init__()
        self.persistent = PersistentTokens(persistent_tokens, dim)
        self.norm = make_norm(norm, dim)
        self.memory = MemoryLayer(spec.memory, dim, scan=scan, residual=True)
        self.feedforward = FeedForwardResidual(spec.feedforward, dim, norm=norm)

    def start(self, batch: int) -> MemoryState:
        """The state of `batch` sequences before their first token."""
        return self.memory.warmed(self.norm(self.persistent()), batch)[1]

    def forward(
        self, x: Tensor, state: MemoryState, mask: Tensor | None = None
    ) -> tuple[Tensor, MemoryState]:
        y, state = self.memory(self.norm(x), state, mask)
        return self.feedforward(x + y), state
