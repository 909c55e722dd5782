"""What a person writes of a model: sizes, and either one block or a pattern of layers."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from blocks.reads import Reads, Tokens
from blocks.spec import Attention, BlockSpec, Lmm, Mac, Mag, Mal
from playground.errors import SpecError
from playground.spec.require import require

_RUN = re.compile(r"(\d*)([A-Za-z_]\w*)")
MOST = {"vocab": 1 << 24, "dim": 1 << 17, "depth": 4096, "persistent_tokens": 1 << 16}


@dataclass(frozen=True, kw_only=True)
class LayersSpec:
    """A stack whose layers differ: a run-length pattern over symbols, cycled over the depth.

    In YAML the symbols stand beside `pattern`: `{pattern: "3M 1A", M: {...}, A: {...}}`.
    """

    pattern: str  # "3M 1A" is M M M A M M M A ...
    # mappings have no hash; equal specs still need them equal
    symbols: Mapping[str, BlockSpec] = field(hash=False, metadata={"rest": True})
    at: Mapping[int, BlockSpec] = field(  # -1: the last
        default_factory=dict[int, BlockSpec], hash=False
    )

    def __post_init__(self) -> None:
        require(bool(self.symbols), "", "no symbol is defined.", "Write M: {kind: lmm, ...}.")
        for word in self.pattern.split() or [""]:
            match = _RUN.fullmatch(word)
            require(
                match is not None and match[1] != "0",
                "pattern",
                f"{word!r} is not a count and a symbol.",
                'Write runs such as "3M 1A".',
            )
            problem = f"{word!r} is more layers than can be built."
            most = f"Write counts of at most {MOST['depth']:,}."
            count = int(match[1] or 1) if match else 1
            require(count <= MOST["depth"], "pattern", problem, most)
            if match and match[2] not in self.symbols:
                problem = f"symbol {match[2]!r} is not defined."
                raise SpecError("pattern", problem, allowed=self.symbols, found=match[2])

    def cycle(self) -> tuple[str, ...]:
        """The symbols of one period of the pattern."""
        runs = _RUN.findall(self.pattern)
        return tuple(symbol for count, symbol in runs for _ in range(int(count or 1)))

    def blocks(self, depth: int) -> tuple[BlockSpec, ...]:
        """The block of each of `depth` layers.

        Raises:
            SpecError: a key of `at` lies outside the depth, or two mean the same layer.
        """
        cycle = self.cycle()
        stack = [self.symbols[cycle[layer % len(cycle)]] for layer in range(depth)]
        taken: dict[int, int] = {}
        for index, block in self.at.items():
            inside = -depth <= index < depth
            fix = f"Write {-depth} to {depth - 1}."
            require(inside, f"at.{index}", f"there are {depth} layers.", fix)
            other = taken.setdefault(index % depth, index)
            problem = f"is the same layer as at.{other}."
            require(other == index, f"at.{index}", problem, "Keep one of the two.")
            stack[index] = block
        return tuple(stack)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A sequence model: embedding, `depth` blocks, norm, head.

    Either `block` (every layer the same) or `layers` (a pattern) is given.

    Raises:
        SpecError: sizes that do not fit, or both or none of `block` and `layers`.
    """

    kind: ClassVar[str] = "model"

    vocab: int = 256  # of a model of tokens
    dim: int = 256
    depth: int = 8
    norm: Literal["rms", "layer"] = "rms"
    positions: Literal["rope", "none"] = "rope"  # of attention; memories use none
    tie_embeddings: bool = True  # of a model of tokens
    # of what the embedding gives, and of what enters the head
    dropout: float = field(default=0.0, metadata={"later": True})
    persistent_tokens: int = 4  # learned, input-independent tokens of every block
    block: BlockSpec | None = None
    layers: LayersSpec | None = None
    reads: Reads = field(default_factory=Tokens, metadata={"later": True})

    def __post_init__(self) -> None:
        for name, least in (("vocab", 2), ("dim", 1), ("depth", 1), ("persistent_tokens", 0)):
            value = getattr(self, name)
            require(value >= least, name, f"{value} is too small.", f"Write at least {least}.")
            fix = f"Write at most {MOST[name]:,}."
            require(value <= MOST[name], name, f"{value:,} is more than can be built.", fix)
        problem = f"{self.dropout} is not in [0, 1)."
        require(0 <= self.dropout < 1, "dropout", problem, "Write 0.1.")
        require(
            self.block is None or self.layers is None,
            "block",
            "both block and layers are given.",
            "Keep block (all layers alike) or layers (a pattern), not both.",
        )
        require(
            self.block is not None or self.layers is not None,
            "block",
            "neither block nor layers is given.",
            "Write block: {kind: lmm, memory: {kind: titans}} or layers: {pattern: ...}.",
        )
        tokens = isinstance(self.reads, Tokens)
        for name, value in (("vocab", 256), ("tie_embeddings", True)):
            problem = f"is of tokens, and this model reads {self.reads.kind}."
            fix = f"Leave it out, or write {str(value).lower()} over what is inherited."
            require(tokens or getattr(self, name) == value, name, problem, fix)
        self.blocks()
        for path, block in self._named_blocks():
            self._check_heads(path, block)

    def blocks(self) -> tuple[BlockSpec, ...]:
        """The block of each layer, `depth` of them."""
        if self.block is not None:
            return (self.block,) * self.depth
        if self.layers is None:
            return ()
        try:
            return self.layers.blocks(self.depth)
        except SpecError as error:
            raise error.under("layers") from None

    @property
    def period(self) -> int:
        """The tokens after which chunks and segments of all layers begin together."""
        lengths = list[int]()
        for block in self.blocks():
            memory = getattr(block, "memory", None)
            lengths.append(getattr(block, "segment_len", 1))
            lengths.append(getattr(memory.rule, "chunk_size", 1) if memory is not None else 1)
        return math.lcm(*lengths)

    def _named_blocks(self) -> Iterator[tuple[str, BlockSpec]]:
        if self.block is not None:
            yield "block", self.block
        if self.layers is not None:
            for symbol, block in self.layers.symbols.items():
                yield f"layers.{symbol}", block
            for index, block in self.layers.at.items():
                yield f"layers.at.{index}", block

    def _check_heads(self, path: str, block: BlockSpec) -> None:
        if isinstance(block, Lmm | Mac | Mag | Mal):
            heads = block.memory.heads
            self._check_divides(f"{path}.memory.heads", heads)
        if isinstance(block, Attention | Mac | Mag | Mal):
            heads = block.attention.heads
            self._check_divides(f"{path}.attention.heads", heads)
            require(
                self.positions == "none" or self.dim // heads % 2 == 0,
                f"{path}.attention.heads",
                f"rotary positions need an even width per head, dim / heads = {self.dim // heads}.",
                "Change dim or heads, or write positions: none.",
            )

    def _check_divides(self, path: str, heads: int) -> None:
        divisors = [str(n) for n in range(1, self.dim + 1) if self.dim % n == 0]
        near = sorted(divisors, key=lambda n: abs(int(n) - heads))[:3]
        require(
            self.dim % heads == 0,
            path,
            f"{heads} heads do not divide dim = {self.dim}.",
            f"Write {', '.join(near)} or change dim.",
        )
