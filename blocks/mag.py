"""MAG: the memory as a gate beside sliding-window attention (arXiv:2501.00663, eqs. 26-28).

    x' = x + gate(attention(norm(x)), memory(norm(x)));   y = x' + feedforward(norm(x'))

Persistent tokens are written to the memory once per sequence and always visible to attention.
"""

from torch import Tensor

from blocks.attention import CausalAttention
from blocks.block import Block, MemoryAndWindow, Setting
from blocks.memory import MemoryLayer, Qkv
from blocks.norms import make_norm
from blocks.output_gate import StreamGate
from blocks.persistent import PersistentTokens
from blocks.spec import Mag


class MagBlock(Block):
    """Memory beside attention, then feed-forward; x [B, T, M] -> y [B, T, M]."""

    def __init__(self, spec: Mag, setting: Setting) -> None:
        super().__init__(spec, setting)
        dim = setting.dim
        self.shared_qkv, self.heads = spec.shared_qkv, spec.attention.heads
        self.persistent = PersistentTokens(setting.persistent_tokens, dim)
        self.norm = make_norm(setting.norm, dim)
        self.memory = MemoryLayer(
            spec.memory, dim, scan=setting.scan, short_conv=setting.short_conv
        )
        self.attention = CausalAttention(
            spec.attention,
            dim,
            window_len=spec.window_len,
            rope=setting.rope,
            projections=not spec.shared_qkv,
        )
        self.gate = StreamGate(spec.memory.gate, dim)

    def start(self, batch: int) -> MemoryAndWindow:
        """The state of `batch` sequences before their first token."""
        prefix = self.norm(self.persistent())
        _, memory = self.memory.warmed(prefix, batch)
        shared = self._heads(self.memory.qkv(prefix))[1:] if self.shared_qkv else prefix
        attention = self.attention.start(batch, shared)
        return MemoryAndWindow(memory=memory, attention=attention, batch_size=[batch])

    def forward(
        self, x: Tensor, state: MemoryAndWindow, mask: Tensor | None = None
    ) -> tuple[Tensor, MemoryAndWindow]:
        """The next x and state of x [B, T, M]; tokens where `mask` is False write nothing."""
        z = self.norm(x)
        qkv = self.memory.qkv(z) if self.shared_qkv else None
        heads = None if qkv is None else self._heads(qkv)
        y, attention = self.attention(z, state.attention, mask, heads)
        m, memory = self.memory(z, state.memory, mask, qkv)
        x = self.feedforward(x + self.gate(y, m))
        return x, state.replace(memory=memory, attention=attention)

    def _heads(self, qkv: Qkv) -> Qkv:
        """The memory's projections [..., M] as attention takes them, [..., H, D]."""
        q, k, v = (t.unflatten(-1, (self.heads, -1)) for t in qkv)
        return q, k, v
