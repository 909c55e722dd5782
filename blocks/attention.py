"""Causal softmax attention, full or within a sliding window, taken up at any token."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from tensordict import TensorClass
from torch import Tensor, nn

from blocks import rope as turning
from blocks.attend import (
    Attend,
    Backend,
    at_call,
    choose_backend,
    make_attend,
    refuses,
    takes_windows,
)
from blocks.init import ResidualLinear
from blocks.masks import causal, sliding_window
from blocks.norms import RMSNorm
from blocks.spec import AttentionSpec

Qkv = tuple[Tensor, Tensor, Tensor]
Prefix = Tensor | tuple[Tensor, Tensor] | None


class AttentionState(TensorClass):
    """The keys a later token may still see; batch_size [B].

    k (already turned), v: [B, N, G, D], N at most window_len - 1, or all tokens so far.
    live: [B, N] bool, False where a token was padding.
    prefix_k, prefix_v: [B, P, G, D], persistent tokens, the same for every sequence.
    position: [B] int64, tokens seen, padding not counted.
    """

    k: Tensor
    v: Tensor
    live: Tensor
    prefix_k: Tensor
    prefix_v: Tensor
    position: Tensor

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep; persistent tokens are learned, not kept."""
        kept = (self.k, self.v, self.live, self.position)
        return sum(t.numel() * t.element_size() for t in kept) // max(1, self.position.shape[0])


class Projections(nn.Module):
    """Queries, keys and values of attention, and the way back; one backend, chosen when built.

    Attributes:
        backend, backend_why: what computes the softmax, and the reason for it.
    """

    backend: Backend
    backend_why: str
    attend: Attend

    def __init__(self, spec: AttentionSpec, dim: int, *, rope: bool, qkv: bool = True) -> None:
        """Projections between width `dim` and the spec's heads.

        Args:
            spec: heads, backend and norms.
            dim: model width M.
            rope: whether queries and keys will be turned.
            qkv: False for the way back alone.
        """
        super().__init__()
        if dim % spec.heads:
            raise ValueError(f"heads: {spec.heads} does not divide dim = {dim}.")
        self.spec, self.rope = spec, rope
        self.heads, self.groups = spec.heads, spec.kv_heads or spec.heads
        self.width = dim // spec.heads
        if rope and self.width % 2:
            raise ValueError(
                f"heads: RoPE turns pairs, but one head is {self.width} wide (dim {dim} / "
                f"{spec.heads} heads). Use an even width or positions: none."
            )
        if qkv:
            self.q = nn.Linear(dim, self.heads * self.width, bias=False)
            self.k = nn.Linear(dim, self.groups * self.width, bias=False)
            self.v = nn.Linear(dim, self.groups * self.width, bias=False)
        if spec.qk_norm == "rms":
            self.q_norm, self.k_norm = RMSNorm(self.width), RMSNorm(self.width)
        self.out = ResidualLinear(self.heads * self.width, dim, bias=False)
        here = torch.get_default_device()
        if (
            spec.backend != "auto"
            and (why := refuses(spec.backend, spec, here))
            and not refuses(spec.backend, spec, torch.device("cuda"))
        ):  # a model is made on the CPU, and may move to where its backend runs
            self.backend, self.backend_why, self.attend = spec.backend, why, at_call(spec)
        else:
            self.select_backend(here)

    def select_backend(self, device: torch.device | str) -> None:
        """Choose again what computes the softmax, for a module that moves to `device`.

        Raises:
            ValueError: the backend named in the spec cannot run there.
        """
        self.backend, self.backend_why = choose_backend(self.spec, device)
        self.attend = make_attend(self.backend)

    def queries(self, x: Tensor) -> Tensor:
        """[..., M] -> [..., H, D]."""
        return self.q(x).unflatten(-1, (self.heads, self.width))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[..., M] -> two of [..., G, D]."""
        shape = (self.groups, self.width)
        return self.k(x).unflatten(-1, shape), self.v(x).unflatten(-1, shape)

    def normed_q(self, q: Tensor) -> Tensor:
        """The qk norm on queries, where the spec has one."""
        return self.q_norm(q) if self.spec.qk_norm == "rms" else q

    def normed_k(self, k: Tensor) -> Tensor:
        """The qk norm on keys, where the spec has one."""
        return self.k_norm(k) if self.spec.qk_norm == "rms" else k

    def persistent(self, prefix: Prefix, batch: int) -> tuple[Tensor, Tensor]:
        """Keys and values [B, P, G, D] of persistent tokens; they are not turned."""
        if prefix is None:
            empty = self.out.weight.new_zeros(batch, 0, self.groups, self.width)
            return empty, empty
        k, v = self.keys_values(prefix) if isinstance(prefix, Tensor) else prefix
        k = self.normed_k(k)
        return k.expand(batch, *k.shape), v.expand(batch, *v.shape)

    def merge(self, y: Tensor) -> Tensor:
        """[B, T, H, D] -> [B, T, M]."""
        return self.out(y.flatten(-2))

    @property
    def dropout(self) -> float:
        """The share of scores dropped now."""
        return self.spec.dropout if self.training else 0.0


class CausalAttention(nn.Module):
    """Causal attention with grouped keys, RoPE and persistent tokens that every row sees."""

    def __init__(
        self,
        spec: AttentionSpec,
        dim: int,
        *,
        window_len: int | None,
        rope: bool,
        projections: bool = True,
    ) -> None:
        """Attention on tokens of width `dim`.

        Args:
            spec: heads, backend and norms.
            dim: model width M.
            window_len: tokens a row sees, itself included; None for all before it.
            rope: whether queries and keys are turned by their position.
            projections: False where q, k and v always come from elsewhere, the prefix's too: the
                module then has no such weights of its own.
        """
        super().__init__()
        self.window_len = window_len
        self.project = Projections(spec, dim, rope=rope, qkv=projections)

    def start(self, batch: int, prefix: Prefix = None) -> AttentionState:
        """The state before the first token.

        Args:
            batch: number of sequences.
            prefix: persistent tokens [P, M], or their keys and values, [P, G, D] each.
        """
        k, v = self.project.persistent(prefix, batch)
        empty = k.new_zeros(batch, 0, *k.shape[2:])
        return AttentionState(
            k=empty,
            v=empty,
            live=torch.zeros(batch, 0, dtype=torch.bool, device=k.device),
            prefix_k=k,
            prefix_v=v,
            position=torch.zeros(batch, dtype=torch.int64, device=k.device),
            batch_size=[batch],
        )

    def forward(
        self,
        x: Tensor,
        state: AttentionState,
        mask: Tensor | None = None,
        qkv: Qkv | None = None,
    ) -> tuple[Tensor, AttentionState]:
        """Attend from the next tokens.

        Args:
            x: [B, T, M].
            state: what came before.
            mask: [B, T] bool, False where a token is padding: it keeps its slot in the window and
                has no position, nobody attends to it, and its output is unspecified.
            qkv: queries [B, T, H, D], keys and values [B, T, G, D] made elsewhere; x is not used.
        """
        project = self.project
        q, k, v = (project.queries(x), *project.keys_values(x)) if qkv is None else qkv
        q, k = project.normed_q(q), project.normed_k(k)
        past, length = state.k.shape[1], q.shape[1]
        if project.rope:
            turn = turning.angles(turning.places(state.position, length, mask), project.width)
            q, k = turning.rotate(q, turn), turning.rotate(k, turn)
        live = torch.ones_like(q[..., 0, 0], dtype=torch.bool) if mask is None else mask
        seen = Seen(
            torch.cat([state.k.to(k.dtype), k], dim=1),
            torch.cat([state.v.to(v.dtype), v], dim=1),
            torch.cat([state.live, live], dim=1),
            state.prefix_k.to(k.dtype),
            state.prefix_v.to(v.dtype),
        )
        y = self._attend(q, seen, padded=mask is not None)
        last = 0 if self.window_len is None else max(0, past + length - self.window_len + 1)
        # cloned: a view would keep the keys of a long call alive
        kept = [t[:, last:].clone() if last else t for t in seen[:3]]
        position = state.position + (length if mask is None else mask.sum(dim=1))
        state = state.replace(k=kept[0], v=kept[1], live=kept[2], position=position)
        return project.merge(y), state

    def _attend(self, q: Tensor, seen: "Seen", padded: bool) -> Tensor:
        """Softmax over prefix and tokens; a long call within a window goes in folds."""
        rows, past = q.shape[1], seen.k.shape[1] - q.shape[1]
        window, holes = self.window_len, padded or past > 0
        if window is None or rows <= window or takes_windows(self.project.backend, q, padded=holes):
            return self._call(q, seen, past, padded=holes)
        k, v, live = (t[:, : past + window] for t in seen[:3])
        near = Seen(k, v, live, seen.prefix_k, seen.prefix_v)
        first = self._call(q[:, :window], near, past, padded=holes)
        folds = (rows - 1) // window  # of those after the first
        queries = F.pad(q[:, window:], (0, 0, 0, 0, 0, (folds + 1) * window - rows))
        rest = self._call(
            queries.reshape(-1, window, *q.shape[2:]),
            seen.folded(past + 1, window, folds),
            window - 1,
            padded=padded,
        )
        rest = rest.reshape(q.shape[0], folds * window, *q.shape[2:])
        return torch.cat([first, rest[:, : rows - window]], dim=1)

    def _call(self, q: Tensor, seen: "Seen", past: int, padded: bool) -> Tensor:
        """One call of the backend; `padded`: whether `live` may hold a False."""
        length, ahead = seen.k.shape[1], seen.prefix_k.shape[1]
        live = seen.live if padded else None
        if self.window_len is None:
            sight = causal(length, past=past, prefix=ahead, live=live)
        else:
            sight = sliding_window(length, self.window_len, past=past, prefix=ahead, live=live)
        k, v = seen.k, seen.v
        if ahead:
            k, v = torch.cat([seen.prefix_k, k], dim=1), torch.cat([seen.prefix_v, v], dim=1)
        return self.project.attend(q, k, v, sight, self.project.dropout)


class Seen(NamedTuple):
    """Keys, values and padding of past and present tokens [B, S, ...], and the prefix's."""

    k: Tensor
    v: Tensor
    live: Tensor
    prefix_k: Tensor
    prefix_v: Tensor

    def folded(self, first: int, window: int, folds: int) -> "Seen":
        """What each fold of `window` queries sees: its own tokens and the window - 1 before them.

        The first fold's context begins at token `first`; [B * folds, 2 window - 1, ...]. Filled up
        at the end, where causality hides the filling.
        """
        k, v, live = (_fold(t[:, first:], window, folds) for t in self[:3])
        prefix_k, prefix_v = (t.repeat_interleave(folds, dim=0) for t in self[3:])
        return Seen(k, v, live, prefix_k, prefix_v)


def _fold(x: Tensor, window: int, folds: int) -> Tensor:
    fill = (folds + 1) * window - 1 - x.shape[1]
    x = F.pad(x, [0, 0] * (x.ndim - 2) + [0, fill])
    parts = x.unfold(1, 2 * window - 1, window).movedim(-1, 2)
    return parts.reshape(-1, *parts.shape[2:])
