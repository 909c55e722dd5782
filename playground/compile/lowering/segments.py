"""Cutting a call into segments that each lie inside one chunk, and laying tokens out for them.

A stream may stop and go on anywhere, so a call begins with the rest of an open chunk, goes on with
whole chunks, and ends with the beginning of another.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memory_rules import AbstractGradientRule

SCALAR_LENGTH, CHANNEL_LENGTH = 64, 16  # tokens of a chunk: matrices, or a tensor with channels
Kind = Literal["whole", "part", "last"]


def chunk_length(rule: AbstractGradientRule) -> int:
    """Tokens of a chunk: the rule's own, or, where they change no number, what is fast."""
    if rule.chunked:
        return rule.chunk_size
    return SCALAR_LENGTH if rule.side == "scalar" else CHANNEL_LENGTH


@dataclass(frozen=True)
class Segment:
    """Tokens first .. first + count * size of a call, in `count` runs of `size`.

    whole: whole chunks; part: inside a chunk that stays open; last: up to the end of an open chunk.
    """

    kind: Kind
    first: int
    size: int
    count: int = 1

    @property
    def end(self) -> int:
        return self.first + self.size * self.count


def segments(length: int, position: int, chunk_size: int) -> list[Segment]:
    """The segments of a call of `length` tokens that starts `position` tokens into the stream."""
    found, at = [], 0
    inside = position % chunk_size
    if inside and length:
        size = min(length, chunk_size - inside)
        kind: Kind = "last" if inside + size == chunk_size else "part"
        found.append(Segment(kind, 0, size))
        at = size
    count = (length - at) // chunk_size
    if count:
        found.append(Segment("whole", at, chunk_size, count))
        at += count * chunk_size
    if at < length:
        found.append(Segment("part", at, length - at))
    return found


def runs_of(segment: Segment, most: int) -> list[Segment]:
    """A segment cut into pieces of at most `most` runs."""
    return [
        Segment(
            segment.kind,
            segment.first + i * segment.size,
            segment.size,
            min(most, segment.count - i),
        )
        for i in range(0, segment.count, most)
    ]


@dataclass(frozen=True)
class Lane:
    """Where a token tensor has its time axis and how far it reaches back before its tokens."""

    time: int
    back: int = 0

    def views(self, t: Tensor, segment: Segment) -> list[Tensor]:
        """The tokens of every run where they lie: [B, H, size + back, d] of [B, T, H, d]."""
        return list(self._runs(t, segment).unbind(self.time))

    def _runs(self, t: Tensor, segment: Segment) -> Tensor:
        """Time as runs, and the tokens of a run last, but before channels: a view."""
        n, size = segment.end - segment.first + self.back, segment.size
        runs = t.narrow(self.time, segment.first, n).unfold(self.time, size + self.back, size)
        return runs.transpose(-1, -2) if t.ndim - self.time == 3 else runs  # [..., T, H, d]

    def pack(self, t: Tensor, segment: Segment) -> Tensor:
        """[count, ..., H, size + back(, d)], contiguous: every run is one dense block."""
        return self._runs(t, segment).movedim(self.time, 0).contiguous()

    def unpack(self, grad: Tensor, packed: Tensor, segment: Segment) -> None:
        """Add the gradient of a packed block to the gradient of the tensor it came from."""
        if grad.ndim - self.time == 3:
            packed = packed.transpose(-1, -2)
        if not self.back:
            span = grad.narrow(self.time, segment.first, segment.end - segment.first)
            runs = span.unfold(self.time, segment.size, segment.size).movedim(self.time, 0)
            runs.copy_(packed)
            return
        for i in range(segment.count):  # runs overlap
            first = segment.first + i * segment.size
            span = grad.narrow(self.time, first, segment.size + self.back)
            span.movedim(self.time, -1).add_(packed[i])
