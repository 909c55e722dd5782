"""The model: embedding, blocks, final norm, head; a stream that can be left and taken up again.

Here is what all models share, and the one of tokens; `frames.py` and `series.py` have the others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from tensordict import TensorClass, TensorDict
from torch import Tensor, nn

from blocks.init import Fill, normal
from blocks.memory import MemoryLayer
from blocks.norms import Norm, make_norm
from blocks.restart import restarted


class ModelState(TensorClass):
    """Every block's state, by its index as text; batch_size [B]. `detach()` cuts the graph.

    position: [B] int64, tokens seen, padding counted, so equal across rows.
    """

    blocks: TensorDict
    position: Tensor

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep."""
        return sum(num_bytes(block) for block in self.blocks.values())


def num_bytes(state: object) -> int:
    """Bytes per sequence of a block's state; one that holds learned parts says it itself."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size() // max(1, state.shape[0])
    if isinstance(state, TensorDict):
        return sum(num_bytes(part) for part in state.values())
    own = getattr(type(state), "num_bytes", None)
    if own is None:
        raise TypeError(f"{type(state).__name__} does not say its num_bytes()")
    return own(state)


class Block(Protocol):
    """One layer of a model: norms, mixer, feed-forward and residuals around both.

    bodies: names of its methods without a loop over tokens, chunks or segments, to be compiled.
    """

    bodies: tuple[str, ...]

    def start(self, batch: int) -> Any:
        """The state of `batch` sequences before their first token."""
        ...

    def __call__(self, x: Tensor, state: Any, mask: Tensor | None = None) -> tuple[Tensor, Any]:
        """The next tokens x [B, T, M] -> y [B, T, M], and the next state."""
        ...


class AbstractModel(nn.Module, ABC):
    """Inputs of some kind in, something said of them out: an embedding, blocks, a norm, a head.

    A final class below it says what the two ends are.

    length: positions of every input, where that is fixed.
    """

    length: int | None = None

    def __init__(
        self,
        embedding: "nn.Embedding | nn.Linear",
        blocks: Sequence[nn.Module],
        norm: nn.Module,
        head: nn.Module | None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.head = head

    @abstractmethod
    def enter(self, inputs: Tensor) -> Tensor:
        """Inputs, B of them, as positions of the model's width: [B, T, M]."""

    @abstractmethod
    def leave(self, x: Tensor, inputs: Tensor) -> Tensor:
        """What is said after the last block: [B, n, M] and the inputs -> [B, n, L]."""

    @abstractmethod
    def example(self, batch: int, length: int) -> Tensor:
        """Inputs of zeros, with `length` positions where the model leaves that open."""

    @property
    def matrix(self) -> Tensor:
        """The head's weight, [L, M]."""
        return cast(Tensor, (self.embedding if self.head is None else self.head).weight)

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def block(self, index: int) -> "Block":
        """The block at `index`, as what it is."""
        return cast("Block", self.blocks[index])

    def start(self, batch: int) -> ModelState:
        """The state of `batch` sequences before the first position."""
        states = {str(i): self.block(i).start(batch) for i in range(len(self.blocks))}
        device = self.embedding.weight.device
        return ModelState(
            blocks=TensorDict(states, batch_size=[batch]),
            position=torch.zeros(batch, dtype=torch.int64, device=device),
            batch_size=[batch],
        )

    def restart(self, state: ModelState, rows: Tensor) -> ModelState:
        """The stream in which some sequences begin anew: a document ends there.

        Args:
            state: where the stream stands, between chunks and segments of every block.
            rows: [B] bool, the sequences that begin anew; the others go on.

        Raises:
            ValueError: a chunk or a segment is open.
        """
        seen = int(state.position[0]) if len(state.position) else 0
        for memory in (m for m in self.modules() if isinstance(m, MemoryLayer)):
            rule = memory.rule
            chunk = getattr(rule, "chunk_size", 1) if getattr(rule, "chunked", False) else 1
            if seen % chunk:
                raise ValueError(
                    f"rows: after {seen} tokens a chunk of {chunk} is open, and only whole chunks "
                    "can end with a document. Make task.length a multiple of memory.chunk_size."
                )
        fresh = self.start(len(rows)).blocks
        blocks = {i: restarted(fresh[i], block, rows) for i, block in state.blocks.items()}
        return state.replace(blocks=TensorDict(blocks, batch_size=state.batch_size))

    def forward(
        self,
        tokens: Tensor,
        state: ModelState | None = None,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        head: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, ModelState]:
        """What is said after each position; of a model of tokens, logits for the next one.

        Args:
            tokens: [B, T] int64; frames [B, T, F]; or windows of a series [B, lookback].
            state: what came before; None begins anew, and then no state is returned.
            positions: [B, n] int64, indices into T: outputs are made there only.
            mask: [B, T] bool, False where a token is padding. It may stand anywhere and keeps its
                slot, writes nothing and is not attended to; what is said there means nothing.
            head: called with the last x [B, T, M], normed, and the head's weight [L, M], in place
                of making logits; what it gives is returned instead.

        Returns:
            [B, T, L] (or [B, n, L]), of a series [B, 1, horizon]; with a state given, the pair of
            that and the next state.
        """
        begun = self.start(tokens.shape[0]) if state is None else state
        x = self._dropped(self.enter(tokens))
        after, length = {}, x.shape[1]
        for i in range(len(self.blocks)):
            x, after[str(i)] = self.block(i)(x, begun.blocks[str(i)], mask)
        if positions is not None:
            x = x.gather(1, positions[..., None].expand(-1, -1, x.shape[-1]))
        made = None if head is None else head(self._dropped(self.norm(x)), self.matrix)
        outputs = self.leave(x, tokens) if made is None else made
        if state is None:
            return outputs
        return outputs, ModelState(
            blocks=TensorDict(after, batch_size=begun.batch_size),
            position=begun.position + length,
            batch_size=begun.batch_size,
        )


class Model(AbstractModel):
    """Tokens [B, T] in, logits [B, T, L] out.

    Args:
        blocks: what the model is composed of, in order; each has its own norms and residuals.
        vocab: how many tokens there are, L.
        dim: model width M.
        norm: the norm before the head.
        tie_embeddings: whether the head is the embedding's transpose.
        dropout: of the embedded tokens, and of what enters the head.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        *,
        vocab: int,
        dim: int,
        norm: Norm = "rms",
        tie_embeddings: bool = True,
        dropout: float = 0.0,
    ) -> None:
        head = None if tie_embeddings else Head(dim, vocab)
        super().__init__(nn.Embedding(vocab, dim), blocks, make_norm(norm, dim), head, dropout)

    def enter(self, inputs: Tensor) -> Tensor:
        """Each token's vector."""
        return self.embedding(inputs)

    def leave(self, x: Tensor, inputs: Tensor) -> Tensor:
        """Final norm and head: [..., M] -> [..., L]."""
        return F.linear(self._dropped(self.norm(x)), self.matrix)

    def example(self, batch: int, length: int) -> Tensor:
        """Tokens 0."""
        device = self.embedding.weight.device
        return torch.zeros(batch, length, dtype=torch.int64, device=device)


class Head(nn.Linear):
    """A head of its own, as small at the start as an embedding: near-uniform predictions."""

    def __init__(self, dim: int, vocab: int) -> None:
        super().__init__(dim, vocab, bias=False)

    def initial(self) -> dict[str, Fill]:
        """How the weight begins."""
        return {"weight": normal(0.02)}
