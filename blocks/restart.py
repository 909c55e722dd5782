"""Some sequences of a stream begin anew while the others go on."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from blocks.attention import AttentionState
from blocks.segment_attention import SegmentState
from memory_rules import State


def restarted(fresh: Any, old: Any, rows: Tensor) -> Any:
    """A block's state in which some rows are those of a fresh one.

    Between chunks and segments only: the phase of a chunk is the same for all rows, so `position`
    of a memory goes on for rows that begin anew as well; it counts for nothing else.

    Args:
        fresh: the block's state before the first token.
        old: its state now.
        rows: [B] bool, who begins anew.

    Raises:
        ValueError: a segment is open.
    """
    if isinstance(old, Tensor):
        return torch.where(rows.view(-1, *[1] * (old.ndim - 1)), fresh.to(old.dtype), old)
    if isinstance(old, AttentionState):
        # keys of tokens before are there for the other rows, and nobody's in these
        position = torch.where(rows, fresh.position, old.position)
        live = old.live & ~rows[:, None]
        used = live.any(0)
        first = int(used.to(torch.uint8).argmax()) if used.any() else len(used)
        kept = {name: getattr(old, name)[:, first:] for name in ("k", "v")}  # the rest is nobody's
        return old.replace(live=live[:, first:], position=position, **kept)
    if isinstance(old, SegmentState):
        if old.filled:
            raise ValueError(f"rows: a segment is open, {old.filled} tokens long.")
        return old
    kept = {"position"} if isinstance(old, State) else set[str]()
    parts = {
        name: old.get(name) if name in kept else restarted(fresh.get(name), old.get(name), rows)
        for name in _names(old)
    }
    if isinstance(old, TensorDict):
        return TensorDict(parts, batch_size=old.batch_size)
    made: Any = type(old)
    return made(**parts, batch_size=old.batch_size)


def _names(state: Any) -> list[str]:
    if isinstance(state, TensorDict):
        return [str(name) for name in state.keys()]  # noqa: SIM118 - iterating goes over the batch
    return [str(name) for name in type(state).__annotations__]
