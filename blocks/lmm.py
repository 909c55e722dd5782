"""LMM: the long-term memory alone as token mixer (arXiv:2501.00663, section 3).

    x' = x + memory(norm(x));   y = x' + feedforward(norm(x'))

Persistent tokens are written to the memory before the first token (eq. 19), once per sequence.
"""

from torch import Tensor

from blocks.block import Block, Setting
from blocks.memory import MemoryLayer, MemoryState
from blocks.norms import make_norm
from blocks.persistent import PersistentTokens
from blocks.spec import Lmm


class LmmBlock(Block):
    """Memory and feed-forward; x [B, T, M] -> y [B, T, M]."""

    def __init__(self, spec: Lmm, setting: Setting) -> None:
        super().__init__(spec, setting)
        dim = setting.dim
        self.persistent = PersistentTokens(setting.persistent_tokens, dim)
        self.norm = make_norm(setting.norm, dim)
        self.memory = MemoryLayer(
            spec.memory, dim, scan=setting.scan, short_conv=setting.short_conv, residual=True
        )

    def start(self, batch: int) -> MemoryState:
        """The state of `batch` sequences before their first token."""
        return self.memory.warmed(self.norm(self.persistent()), batch)[1]

    def forward(
        self, x: Tensor, state: MemoryState, mask: Tensor | None = None
    ) -> tuple[Tensor, MemoryState]:
        y, state = self.memory(self.norm(x), state, mask)
        return self.feedforward(x + y), state
