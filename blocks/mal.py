"""MAL: the memory as a layer below sliding-window attention (arXiv:2501.00663, eqs. 29-31).

    x' = x + attention(norm(z));   z = memory(norm(x)), or x + memory(norm(x)) (inner_residual)
    y  = x' + feedforward(norm(x'))

Persistent tokens go through the memory once per sequence; what it says at them is what attention
sees before its window, always.
"""

from torch import Tensor

from blocks.attention import CausalAttention
from blocks.block import Block, MemoryAndWindow, Setting
from blocks.memory import MemoryLayer
from blocks.norms import make_norm
from blocks.persistent import PersistentTokens
from blocks.spec import Mal


class MalBlock(Block):
    """Memory, then attention, then feed-forward; x [B, T, M] -> y [B, T, M]."""

    def __init__(self, spec: Mal, setting: Setting) -> None:
        super().__init__(spec, setting)
        dim = setting.dim
        self.inner_residual = spec.inner_residual
        self.persistent = PersistentTokens(setting.persistent_tokens, dim)
        self.norm = make_norm(setting.norm, dim)
        self.memory = MemoryLayer(
            spec.memory, dim, scan=setting.scan, short_conv=setting.short_conv
        )
        self.attention_norm = make_norm(setting.norm, dim)
        self.attention = CausalAttention(
            spec.attention, dim, window_len=spec.window_len, rope=setting.rope
        )

    def start(self, batch: int) -> MemoryAndWindow:
        """The state of `batch` sequences before their first token."""
        prefix = self.persistent()
        m, memory = self.memory.warmed(self.norm(prefix), batch)
        z = prefix + m if self.inner_residual else m
        attention = self.attention.start(batch, self.attention_norm(z))
        return MemoryAndWindow(memory=memory, attention=attention, batch_size=[batch])

    def forward(
        self, x: Tensor, state: MemoryAndWindow, mask: Tensor | None = None
    ) -> tuple[Tensor, MemoryAndWindow]:
        m, memory = self.memory(self.norm(x), state.memory, mask)
        z = x + m if self.inner_residual else m
        y, attention = self.attention(self.attention_norm(z), state.attention, mask)
        x = self.feedforward(x + y)
        return x, state.replace(memory=memory, attention=attention)
