"""MAC: the memory as context (arXiv:2501.00663, eqs. 21-25), in the causal reading.

For the rows j of a segment, with z = norm(x):

    h_j = read(memory at the end of the previous segment, q from z_j)            (21)
    y_j = attention of row j to [persistent: all | h_i: i <= j | z_i: i <= j]    (22, 23)
    memory_j = memory_{j-1} written with norm(y_j)                               (24)
    o_j = gate(y_j, read(memory_j, q from norm(y_j)))                            (25)
    x'  = x + o;   out = x' + feedforward(norm(x'))

Letter by letter, the equations leak the future twice inside a segment: h_i depends on x_i and
stands before every row, and (25) reads the memory after the whole segment's write. Here row j sees
h_i of rows i <= j only and reads the memory after its own write. Persistent and retrieved rows are
attended to, never written. One set of W_Q, W_K, W_V serves both streams; each stream has its own
convolution caches. A segment in progress is part of the state.

With `inner_residual` (24) and (25) have norm(x_j + y_j) in place of norm(y_j), so that the memory
knows a token itself before attention has learned to look at it.
"""

import torch
from tensordict import TensorClass, TensorDict
from torch import Tensor

from blocks.block import Block, Setting
from blocks.memory import MemoryLayer, MemoryState, bytes_of
from blocks.norms import make_norm
from blocks.output_gate import StreamGate
from blocks.persistent import PersistentTokens
from blocks.segment_attention import SegmentAttention, SegmentState
from blocks.spec import Mac


class MacState(TensorClass):
    """What crosses from one token to the next; batch_size [B].

    memory: the memory as it is written, and the convolutions of the stream of y.
    reader: the memory at the end of the previous segment, and the convolution of z's queries.
    attention: keys and values of the open segment and its retrieved rows; it knows how far the
        segment is filled.
    """

    memory: MemoryState
    reader: TensorDict
    attention: SegmentState

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep."""
        return self.memory.num_bytes() + bytes_of(self.reader) + self.attention.num_bytes()


class MacBlock(Block):
    """Memory as context of segmented attention, then feed-forward; x [B, T, M] -> y [B, T, M]."""

    bodies: tuple[str, ...] = ("_segment",)

    def __init__(self, spec: Mac, setting: Setting) -> None:
        super().__init__(spec, setting)
        dim = setting.dim
        self.segment_len, self.inner_residual = spec.segment_len, spec.inner_residual
        self.persistent = PersistentTokens(setting.persistent_tokens, dim)
        self.norm = make_norm(setting.norm, dim)
        self.memory = MemoryLayer(
            spec.memory, dim, scan=setting.scan, short_conv=setting.short_conv
        )
        self.attention = SegmentAttention(
            spec.attention,
            dim,
            segment_len=spec.segment_len,
            rope=setting.rope,
            context_order=spec.context_order,
        )
        # averages over many values are small, and a memory stores what it is given: unit size
        self.written_norm = make_norm(setting.norm, dim)
        self.gate = StreamGate(spec.memory.gate, dim)

    def start(self, batch: int) -> MacState:
        """The state of `batch` sequences before their first token."""
        memory = self.memory.start(batch)
        conv = {n: t.clone() for n, t in memory.conv.items() if n == "q"}
        apart = memory.rule.memory.clone(recurse=False)  # a loaded stream fills both
        reader = {"memory": apart, "conv": TensorDict(conv, batch_size=[batch])}
        return MacState(
            memory=memory,
            reader=TensorDict(reader, batch_size=[batch]),
            attention=self.attention.start(batch, self.norm(self.persistent())),
            batch_size=[batch],
        )

    def forward(
        self, x: Tensor, state: MacState, mask: Tensor | None = None
    ) -> tuple[Tensor, MacState]:
        """Segment by segment: each reads what the one before it left in the memory."""
        outputs, at = [x[:, :0]], 0
        while at < x.shape[1]:
            filled = state.attention.live.shape[1]
            end = min(at + self.segment_len - filled, x.shape[1])
            part = None if mask is None else mask[:, at:end]
            # of its own strides: a compiled body is not to depend on the length of the whole
            y, state = self._segment(x[:, at:end].contiguous(), state, part)
            outputs.append(y)
            if filled + end - at == self.segment_len:
                state = self._next_segment(state)
            at = end
        return torch.cat(outputs, 1), state

    def _segment(self, x: Tensor, state: MacState, mask: Tensor | None) -> tuple[Tensor, MacState]:
        """Tokens of one segment, continuing the open one."""
        z = self.norm(x)
        h, reader = self._retrieve(z, state, mask)
        y, attention = self.attention(z, h, state.attention, mask)
        told = x + y if self.inner_residual else y
        m, memory = self.memory(self.written_norm(told), state.memory, mask)
        x = self.feedforward(x + self.gate(y, m))
        return x, state.replace(memory=memory, reader=reader, attention=attention)

    def _retrieve(
        self, z: Tensor, state: MacState, mask: Tensor | None
    ) -> tuple[Tensor, TensorDict]:
        reader = state.reader.clone(recurse=False)
        rule = state.memory.rule.replace(memory=reader["memory"])
        # built anew: `replace` would merge the two streams' caches
        earlier = MemoryState(rule=rule, conv=reader["conv"], batch_size=state.batch_size)
        h, read = self.memory.retrieve(z, earlier, mask)
        reader["conv"] = read.conv
        return h, reader

    def _next_segment(self, state: MacState) -> MacState:
        reader = state.reader.clone(recurse=False)
        reader["memory"] = state.memory.rule.memory
        return state.replace(reader=reader)
