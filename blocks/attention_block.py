"""A plain causal attention block, full or with a sliding window.

x' = x + attention(norm(x));   y = x' + feedforward(norm(x'))
"""

from torch import Tensor, nn

from blocks.attention import AttentionState, CausalAttention
from blocks.feedforward import FeedForwardResidual
from blocks.norms import Norm, make_norm
from blocks.persistent import PersistentTokens
from blocks.spec import Attention
from memory_rules import Scan, recurrent


class AttentionBlock(nn.Module):
    """Attention and feed-forward; x [B, T, M] -> y [B, T, M]."""

    bodies: tuple[str, ...] = ("forward",)

    def __init__(
        self,
        spec: Attention,
        dim: int,
        *,
        rope: bool,
        persistent_tokens: int,
        depth: int,
        scan: Scan = recurrent,
        norm: Norm = "rms",
    ) -> None:
        """A block of width `dim`.

        Args:
            spec: the block's choices.
            dim: model width M.
            rope: positions by rotation.
            persistent_tokens: learned tokens that every row sees.
            depth: blocks in the model; not used (`initialise` knows it).
            scan: not used: there is no memory here.
            norm: the norm before mixer and feed-forward.
        """
        super().__init__()
        self.persistent = PersistentTokens(persistent_tokens, dim)
        self.norm = make_norm(norm, dim)
        self.attention = CausalAttention(spec.attention, dim, window_len=spec.window_len, rope=rope)
        self.feedforward = FeedForwardResidual(spec.feedforward, dim, norm=norm)

    def start(self, batch: int) -> AttentionState:
        """The state of `batch` sequences before their first token."""
        return self.attention.start(batch, self.norm(self.persistent()))

    def forward(
        self, x: Tensor, state: AttentionState, mask: Tensor | None = None
    ) -> tuple[Tensor, AttentionState]:
        """The next tokens; mask [B, T] bool is False where a token is padding."""
        y, state = self.attention(self.norm(x), state, mask)
        return self.feedforward(x + y), state
