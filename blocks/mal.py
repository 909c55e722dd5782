"""MAL: the memory as a layer below sliding-window attention (arXiv:2501.00663, eqs. 29-31).

    x' = x + attention(norm(z));   z = memory(norm(x)), or x + memory(norm(x)) (inner_residual)
    y  = x' + feedforward(norm(x'))

Persistent tokens go through the memory once per sequence; what it says at them is what attention
sees before its window, always.
"""

from tensordict import TensorClass
from torch import Tensor, nn

from blocks.attention import AttentionState, CausalAttention
from blocks.feedforward import FeedForwardResidual
from blocks.memory import MemoryLayer, MemoryState
from blocks.norms import Norm, make_norm
from blocks.persistent import PersistentTokens
from blocks.spec import Mal
from memory_rules import Scan, recurrent


class MalState(TensorClass):
    """The memory's state and the attention's window; batch_size [B]."""

    memory: MemoryState
    attention: AttentionState

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep."""
        return self.memory.num_bytes() + self.attention.num_bytes()


class MalBlock(nn.Module):
    """Memory, then attention, then feed-forward; x [B, T, M] -> y [B, T, M]."""

    bodies: tuple[str, ...] = ("forward",)

    def __init__(
        self,
        spec: Mal,
        dim: int,
        *,
        rope: bool,
        persistent_tokens: int,
        depth: int,
        scan: Scan = recurrent,
        norm: Norm = "rms",
    ) -> None:
        """A block of width `dim`; the arguments are those of every block (`LmmBlock`)."""
        super().__init__()
        self.inner_residual = spec.inner_residual
        self.persistent = PersistentTokens(persistent_tokens, dim)
        self.norm = make_norm(norm, dim)
        self.memory = MemoryLayer(spec.memory, dim, scan=scan)
        self.attention_norm = make_norm(norm, dim)
        self.attention = CausalAttention(spec.attention, dim, window_len=spec.window_len, rope=rope)
        self.feedforward = FeedForwardResidual(spec.feedforward, dim, norm=norm)

    def start(self, batch: int) -> MalState:
        """The state of `batch` sequences before their first token."""
        prefix = self.persistent()
        m, memory = self.memory.warmed(self.norm(prefix), batch)
        z = prefix + m if self.inner_residual else m
        attention = self.attention.start(batch, self.attention_norm(z))
        return MalState(memory=memory, attention=attention, batch_size=[batch])

    def forward(
        self, x: Tensor, state: MalState, mask: Tensor | None = None
    ) -> tuple[Tensor, MalState]:
        m, memory = self.memory(self.norm(x), state.memory, mask)
        z = x + m if self.inner_residual else m
        y, attention = self.attention(self.attention_norm(z), state.attention, mask)
        x = self.feedforward(x + y)
        return x, state.replace(memory=memory, attention=attention)
