"""A plain causal attention block, full or with a sliding window.

x' = x + attention(norm(x));   y = x' + feedforward(norm(x'))
"""

from torch import Tensor

from blocks.attention import AttentionState, CausalAttention
from blocks.block import Block, Setting
from blocks.norms import make_norm
from blocks.persistent import PersistentTokens
from blocks.spec import Attention


class AttentionBlock(Block):
    """Attention and feed-forward; x [B, T, M] -> y [B, T, M]."""

    def __init__(self, spec: Attention, setting: Setting) -> None:
        super().__init__(spec, setting)
        dim = setting.dim
        self.persistent = PersistentTokens(setting.persistent_tokens, dim)
        self.norm = make_norm(setting.norm, dim)
        self.attention = CausalAttention(
            spec.attention, dim, window_len=spec.window_len, rope=setting.rope
        )

    def start(self, batch: int) -> AttentionState:
        """The state of `batch` sequences before their first token."""
        return self.attention.start(batch, self.norm(self.persistent()))

    def forward(
        self, x: Tensor, state: AttentionState, mask: Tensor | None = None
    ) -> tuple[Tensor, AttentionState]:
        """The next tokens; mask [B, T] bool is False where a token is padding."""
        y, state = self.attention(self.norm(x), state, mask)
        return self.feedforward(x + y), state
