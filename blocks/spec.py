"""What a person writes of a block: one frozen dataclass per kind, its fields are the YAML keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from memory_rules import AbstractMemoryRule

OutputGate = Literal["norm_sigmoid", "sigmoid", "product"]


def _require(condition: bool, field_name: str, problem: str) -> None:
    if not condition:
        raise ValueError(f"{field_name}: {problem}")


@dataclass(frozen=True, kw_only=True)
class AttentionSpec:
    """Causal softmax attention: RoPE on queries and keys, grouped keys and values."""

    heads: int = 4
    kv_heads: int | None = None  # None: as many as heads
    backend: Literal["auto", "sdpa", "flex", "xformers"] = "auto"
    qk_norm: Literal["none", "rms"] = "none"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _require(self.heads >= 1, "heads", f"{self.heads} is not a positive count.")
        kv = self.kv_heads
        _require(
            kv is None or (kv >= 1 and self.heads % kv == 0),
            "kv_heads",
            f"{kv} must divide heads = {self.heads}.",
        )
        _require(0.0 <= self.dropout < 1.0, "dropout", f"{self.dropout} is not in [0, 1).")


@dataclass(frozen=True, kw_only=True)
class FeedForwardSpec:
    """The token-wise network after the mixer; `expand` times the model width inside."""

    kind: Literal["swiglu", "gelu", "none"] = "swiglu"
    expand: float = 2.6667
    dropout: float = 0.0

    def __post_init__(self) -> None:
        fits = 0 < self.expand <= 256
        _require(fits, "expand", f"{self.expand} cannot be built. Write 0.5 to 256.")
        _require(0.0 <= self.dropout < 1.0, "dropout", f"{self.dropout} is not in [0, 1).")


@dataclass(frozen=True, kw_only=True)
class MemorySpec:
    """A memory rule and the layer around it: projections, conv, norms, output gate."""

    rule: AbstractMemoryRule
    heads: int = 4
    conv: int = 4  # width of the causal depthwise conv on q, k, v; 0 for none
    qk_norm: Literal["l2", "none"] = "l2"
    activation: Literal["silu", "none"] = "silu"
    gate: OutputGate = "norm_sigmoid"

    def __post_init__(self) -> None:
        _require(self.heads >= 1, "heads", f"{self.heads} is not a positive count.")
        fits = 0 <= self.conv <= 1024
        _require(fits, "conv", f"{self.conv} cannot be built. Write 0 (none) to 1024.")


@dataclass(frozen=True, kw_only=True)
class Lmm:
    """The long-term memory alone as token mixer (arXiv:2501.00663, section 3)."""

    kind: ClassVar[str] = "lmm"
    memory: MemorySpec
    feedforward: FeedForwardSpec = field(default_factory=FeedForwardSpec)


@dataclass(frozen=True, kw_only=True)
class Mac:
    """Memory as context (arXiv:2501.00663, eqs. 21-25), in the causal reading."""

    kind: ClassVar[str] = "mac"
    memory: MemorySpec
    attention: AttentionSpec = field(default_factory=AttentionSpec)
    segment_len: int = 64
    context_order: Literal["persistent_retrieved_segment", "persistent_segment_retrieved"] = (
        "persistent_retrieved_segment"
    )
    feedforward: FeedForwardSpec = field(default_factory=FeedForwardSpec)
    # true: a residual around the attention as well, so the memory is written with x + y
    inner_residual: bool = field(default=False, metadata={"later": True})

    def __post_init__(self) -> None:
        _require(self.segment_len >= 1, "segment_len", f"{self.segment_len} is not positive.")
        rule = self.memory.rule
        # a rule with a gradient at every token has no chunks, whatever its base class says
        chunk = getattr(rule, "chunk_size", None) if getattr(rule, "chunked", True) else None
        _require(
            chunk is None or self.segment_len % chunk == 0,
            "segment_len",
            f"{self.segment_len} is not a multiple of memory.chunk_size = {chunk}. "
            f"Write {-(-self.segment_len // (chunk or 1)) * (chunk or 1)}, or another chunk_size.",
        )


@dataclass(frozen=True, kw_only=True)
class Mag:
    """Memory as gate beside sliding-window attention (arXiv:2501.00663, eqs. 26-28)."""

    kind: ClassVar[str] = "mag"
    memory: MemorySpec
    attention: AttentionSpec = field(default_factory=AttentionSpec)
    window_len: int = 256
    shared_qkv: bool = False  # true: attention and memory share their q, k, v projections
    feedforward: FeedForwardSpec = field(default_factory=FeedForwardSpec)

    def __post_init__(self) -> None:
        _require(self.window_len >= 1, "window_len", f"{self.window_len} is not positive.")
        _require(
            not self.shared_qkv or self.attention.heads == self.memory.heads,
            "shared_qkv",
            "needs attention.heads equal to memory.heads.",
        )
        kv_heads = self.attention.kv_heads
        _require(
            not self.shared_qkv or kv_heads in (None, self.attention.heads),
            "shared_qkv",
            f"the memory has a key per head, attention.kv_heads is {kv_heads}. Leave it out.",
        )


@dataclass(frozen=True, kw_only=True)
class Mal:
    """Memory as a layer below sliding-window attention (arXiv:2501.00663, eqs. 29-31)."""

    kind: ClassVar[str] = "mal"
    memory: MemorySpec
    attention: AttentionSpec = field(default_factory=AttentionSpec)
    window_len: int = 256
    inner_residual: bool = False  # true: a residual around the memory as well
    feedforward: FeedForwardSpec = field(default_factory=FeedForwardSpec)

    def __post_init__(self) -> None:
        _require(self.window_len >= 1, "window_len", f"{self.window_len} is not positive.")


@dataclass(frozen=True, kw_only=True)
class Attention:
    """A plain causal attention block, full or with a sliding window."""

    kind: ClassVar[str] = "attention"
    attention: AttentionSpec = field(default_factory=AttentionSpec)
    window_len: int | None = None  # None: full causal attention
    feedforward: FeedForwardSpec = field(default_factory=FeedForwardSpec)

    def __post_init__(self) -> None:
        _require(
            self.window_len is None or self.window_len >= 1,
            "window_len",
            f"{self.window_len} is not positive.",
        )


@dataclass(frozen=True, kw_only=True)
class Conv:
    """A gated causal depthwise convolution as token mixer."""

    kind: ClassVar[str] = "conv"
    width: int = 4
    feedforward: FeedForwardSpec = field(default_factory=FeedForwardSpec)

    def __post_init__(self) -> None:
        _require(self.width >= 1, "width", f"{self.width} is not positive.")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """No mixer: the feed-forward alone."""

    kind: ClassVar[str] = "none"
    feedforward: FeedForwardSpec = field(default_factory=FeedForwardSpec)


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Learned positional embeddings (arXiv:1810.04805): a vector for each place, or of a cycle."""

    kind: ClassVar[str] = "positions"
    period: int = 1024  # places; after so many tokens they begin again
    dropout: float = 0.0  # of the vectors that are added
    feedforward: FeedForwardSpec = field(default_factory=FeedForwardSpec)

    def __post_init__(self) -> None:
        _require(1 <= self.period <= 2**24, "period", f"{self.period} is not in [1, 2^24].")
        _require(0 <= self.dropout < 1, "dropout", f"{self.dropout} is not in [0, 1).")


BlockSpec = Lmm | Mac | Mag | Mal | Attention | Conv | Positions | Identity
BLOCKS: Mapping[str, type[BlockSpec]] = {
    cls.kind: cls for cls in (Lmm, Mac, Mag, Mal, Attention, Conv, Positions, Identity)
}
