"""What a block is told of the model around it, and what all of them share."""

from dataclasses import dataclass
from typing import Protocol

from tensordict import TensorClass
from torch import nn

from blocks.attention import AttentionState
from blocks.feedforward import FeedForwardResidual
from blocks.memory import MemoryState
from blocks.norms import Norm
from blocks.short_conv import ShortConv, short_conv
from blocks.spec import FeedForwardSpec
from memory_rules import Scan, recurrent


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The model around a block; a block takes what it has use for.

    dim: model width M; rope: positions by rotation, for attention; persistent_tokens: learned
    tokens before every sequence; norm: before mixer and feed-forward; scan: runs a memory's rule;
    short_conv: runs a memory's convolutions.
    """

    dim: int
    rope: bool = True
    persistent_tokens: int = 0
    norm: Norm = "rms"
    scan: Scan = recurrent
    short_conv: ShortConv = short_conv


class HasFeedForward(Protocol):
    """Any block spec."""

    @property
    def feedforward(self) -> FeedForwardSpec: ...


class Block(nn.Module):
    """x [B, T, M] -> y [B, T, M]: a mixer of tokens, then feed-forward, both residual.

    bodies: methods `(x, state, mask)` that are worth compiling.
    """

    bodies: tuple[str, ...] = ("forward",)

    def __init__(self, spec: HasFeedForward, setting: Setting) -> None:
        super().__init__()
        self.feedforward = FeedForwardResidual(spec.feedforward, setting.dim, norm=setting.norm)


class MemoryAndWindow(TensorClass):
    """The state of a memory and of the attention beside or above it; batch_size [B]."""

    memory: MemoryState
    attention: AttentionState

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep."""
        return self.memory.num_bytes() + self.attention.num_bytes()
