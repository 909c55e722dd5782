"""Attention inside MAC's segments, over persistent tokens, retrieved rows and tokens.

Row i of a segment sees all persistent tokens, retrieved rows j <= i and tokens j <= i. Taken to the
letter the paper (arXiv:2501.00663, eqs. 22-23) shows every row all retrieved rows, and with them
the future: retrieved row j depends on token j.
"""

from typing import Literal

import torch
from tensordict import TensorClass
from torch import Tensor, nn

from blocks import rope as turning
from blocks.attention import Projections
from blocks.masks import segment_context
from blocks.spec import AttentionSpec

ContextOrder = Literal["persistent_retrieved_segment", "persistent_segment_retrieved"]


class SegmentState(TensorClass):
    """The open segment; batch_size [B]. How far it is filled, n, is the length of its tensors.

    k (already turned), v: [B, n, G, D] of its tokens; retrieved_k, retrieved_v: of its retrieved
        rows.
    live: [B, n] bool, False where a token was padding.
    prefix_k, prefix_v: [B, P, G, D], persistent tokens, the same for every sequence.
    """

    k: Tensor
    v: Tensor
    retrieved_k: Tensor
    retrieved_v: Tensor
    live: Tensor
    prefix_k: Tensor
    prefix_v: Tensor

    @property
    def filled(self) -> int:
        """Tokens in the open segment, less than segment_len."""
        return self.k.shape[1]

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep; persistent tokens are learned, not kept."""
        kept = (self.k, self.v, self.retrieved_k, self.retrieved_v, self.live)
        return sum(t.numel() * t.element_size() for t in kept) // max(1, self.live.shape[0])


class SegmentAttention(nn.Module):
    """Attention over one segment at a time."""

    def __init__(
        self,
        spec: AttentionSpec,
        dim: int,
        *,
        segment_len: int,
        rope: bool,
        context_order: ContextOrder = "persistent_retrieved_segment",
    ) -> None:
        """Attention on tokens of width `dim`.

        Args:
            spec: heads, backend and norms.
            dim: model width M.
            segment_len: tokens in a segment.
            rope: whether queries and keys are turned by their position in the segment; a retrieved
                row shares its token's position, persistent tokens are not turned.
            context_order: what stands first among the keys. The mask goes by index in the segment,
                so the order changes no result beyond rounding.
        """
        super().__init__()
        self.segment_len, self.context_order = segment_len, context_order
        self.project = Projections(spec, dim, rope=rope)

    def start(self, batch: int, prefix: Tensor | None = None) -> SegmentState:
        """An empty open segment for `batch` sequences; prefix: persistent tokens [P, M]."""
        k, v = self.project.persistent(prefix, batch)
        empty = k.new_zeros(batch, 0, *k.shape[2:])
        return SegmentState(
            k=empty,
            v=empty,
            retrieved_k=empty,
            retrieved_v=empty,
            live=torch.zeros(batch, 0, dtype=torch.bool, device=k.device),
            prefix_k=k,
            prefix_v=v,
            batch_size=[batch],
        )

    def forward(
        self, x: Tensor, retrieved: Tensor, state: SegmentState, mask: Tensor | None = None
    ) -> tuple[Tensor, SegmentState]:
        """Attend from the next n tokens of the open segment.

        Args:
            x: [B, n, M], n at most what is left of the segment.
            retrieved: [B, n, M], what the memory answered to each of these tokens.
            state: the open segment.
            mask: [B, n] bool, False where a token is padding: it keeps its slot in the segment and
                has no position.

        Returns:
            y [B, n, M], and the open segment: empty again once it is full.

        Raises:
            ValueError: x goes beyond the end of the segment.
        """
        filled, length = state.filled, x.shape[1]
        if filled + length > self.segment_len:
            raise ValueError(
                f"x: {length} tokens do not fit behind the {filled} of a segment of "
                f"{self.segment_len}. Split the call at the segment's end."
            )
        q, k, v, retrieved_k, retrieved_v = self._heads(x, retrieved, state, mask)
        live = torch.ones_like(q[..., 0, 0], dtype=torch.bool) if mask is None else mask
        now = {
            "k": torch.cat([state.k.to(k.dtype), k], dim=1),
            "v": torch.cat([state.v.to(v.dtype), v], dim=1),
            "retrieved_k": torch.cat([state.retrieved_k.to(k.dtype), retrieved_k], dim=1),
            "retrieved_v": torch.cat([state.retrieved_v.to(v.dtype), retrieved_v], dim=1),
            "live": torch.cat([state.live, live], dim=1),
        }
        padded = filled > 0 or mask is not None
        state = state.replace(**now)
        y = self.project.merge(self._attend(q, state, padded))
        if filled + length == self.segment_len:
            state = state.replace(**{name: _none_of(t) for name, t in now.items()})
        return y, state

    def _heads(
        self, x: Tensor, retrieved: Tensor, state: SegmentState, mask: Tensor | None
    ) -> tuple[Tensor, ...]:
        """q, k, v of the tokens, k and v of the retrieved rows; q and both k turned."""
        project = self.project
        q, (k, v) = project.normed_q(project.queries(x)), project.keys_values(x)
        retrieved_k, retrieved_v = project.keys_values(retrieved)
        k, retrieved_k = project.normed_k(k), project.normed_k(retrieved_k)
        if project.rope:
            here = turning.places(state.live.sum(dim=1), x.shape[1], mask)
            turn = turning.angles(here, project.width)
            q, k, retrieved_k = (turning.rotate(t, turn) for t in (q, k, retrieved_k))
        return q, k, v, retrieved_k, retrieved_v

    def _attend(self, q: Tensor, state: SegmentState, padded: bool) -> Tensor:
        """Softmax over the context; `padded`: whether `live` may hold a False."""
        k = [state.prefix_k.to(q.dtype), state.retrieved_k, state.k]
        v = [state.prefix_v.to(q.dtype), state.retrieved_v, state.v]
        if self.context_order == "persistent_segment_retrieved":
            k, v = [k[0], k[2], k[1]], [v[0], v[2], v[1]]
        length = state.live.shape[1]
        sight = segment_context(
            length,
            past=length - q.shape[1],
            prefix=state.prefix_k.shape[1],
            live=state.live if padded else None,
        )
        project = self.project
        return project.attend(q, torch.cat(k, dim=1), torch.cat(v, dim=1), sight, project.dropout)


def _none_of(x: Tensor) -> Tensor:
    """x without its rows; dense, since an empty tensor has strides too and graphs see them."""
    return x[:, :0].clone(memory_format=torch.contiguous_format)
