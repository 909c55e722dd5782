"""Which keys a query may see: one function per pattern, dense or for flex alike, or in parts.

Keys are laid out `[prefix | length tokens]`, or for MAC `[prefix | length retrieved | length
tokens]`; query row i is token `past + i`. The prefix (persistent tokens) is seen by every row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(batch, head, query, key), all indices -> whether the query sees the key."""


class Part(NamedTuple):
    """A run of keys that rows see in a simple way.

    first, stop: its keys are first .. stop - 1. reach: 0 if every row sees all of them; else the
    last row stands at the last key, each row before it at the key before, and a row sees the keys
    up to its own: all of them if reach is -1, or the last `reach`.
    """

    first: int
    stop: int
    reach: int


def band(rows: int, keys: int, reach: int, device: torch.device) -> Tensor:
    """What rows see of a part, as booleans [rows, keys]; reach as in `Part`."""
    row = torch.arange(rows, device=device)[:, None] + keys - rows
    age = row - torch.arange(keys, device=device)
    if not reach:
        return torch.ones_like(age, dtype=torch.bool)
    return (age >= 0) & ((age < reach) | (reach < 0))


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A pattern of visible keys. Make one with `causal`, `sliding_window` or `segment_context`.

    prefix: keys at the front that every row sees.
    past: tokens among the keys that come before the first query.
    length: tokens among the keys.
    copies: how often these tokens appear (2 where retrieved rows come beside them).
    window_len: tokens a row sees, itself included; None for all before it.
    live: [B, length] bool, False where a token is padding; None where none is. A padded token is
        seen by its own row alone, which keeps that row's softmax finite.
    """

    prefix: int = 0
    past: int = 0
    length: int
    copies: int = 1
    window_len: int | None = None
    live: Tensor | None = None

    @property
    def columns(self) -> int:
        """How many keys there are."""
        return self.prefix + self.copies * self.length

    @property
    def plain(self) -> bool:
        """Whether this is the causal triangle behind a prefix, and nothing else."""
        windowed = self.window_len is not None and self.window_len < self.length
        return not (self.past or self.copies > 1 or windowed or self.live is not None)

    def parts(self) -> tuple[Part, ...]:
        """The same keys as disjoint runs, for kernels that know simple masks only.

        Raises:
            ValueError: a token is padding; what rows see then has holes.
        """
        if self.live is not None:
            raise ValueError("parts: padding leaves holes in what rows see. Use `dense`.")
        windowed = self.window_len is not None and self.window_len < self.length
        reach = self.window_len if windowed and self.window_len else -1
        ends = range(self.prefix, self.columns, max(1, self.length))
        tokens = tuple(Part(at, at + self.length, reach) for at in ends)
        return ((Part(0, self.prefix, 0),) if self.prefix else ()) + tokens

    def visible(self) -> MaskFunction:
        """The pattern as a function of indices, for flex, or broadcast for `dense`."""
        prefix, past, window_len, live = self.prefix, self.past, self.window_len, self.live
        length = max(1, self.length)

        # a plain function: flex counts arguments and takes a method's `self` for one
        def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            """Whether a query may see a key, by their indices."""
            token = (key - prefix) % length
            age = query + past - token
            seen = age >= 0
            if window_len is not None:
                seen = seen & (age < window_len)
            if live is not None:
                seen = seen & (live[batch, token] | (age == 0))
            return seen | (key < prefix)

        return visible

    def dense(self, rows: int, device: torch.device) -> Tensor:
        """The mask as booleans, [B or 1, 1, rows, columns]."""
        batch = 1 if self.live is None else self.live.shape[0]
        mask = self.visible()(
            torch.arange(batch, device=device)[:, None, None, None],
            torch.zeros((), dtype=torch.int64, device=device),
            torch.arange(rows, device=device)[:, None],
            torch.arange(self.columns, device=device),
        )
        return mask.expand(batch, 1, rows, self.columns)


def causal(length: int, *, past: int = 0, prefix: int = 0, live: Tensor | None = None) -> Sight:
    """Every row sees itself and all tokens before it."""
    return Sight(length=length, past=past, prefix=prefix, live=live)


def sliding_window(
    length: int, window_len: int, *, past: int = 0, prefix: int = 0, live: Tensor | None = None
) -> Sight:
    """Every row sees itself and the window_len - 1 tokens before it."""
    return Sight(length=length, past=past, prefix=prefix, window_len=window_len, live=live)


def segment_context(
    length: int, *, past: int = 0, prefix: int = 0, live: Tensor | None = None
) -> Sight:
    """MAC's context: row i sees all persistent tokens, and retrieved rows and tokens up to i.

    Retrieved rows and tokens may stand in either order: both are `length` long.
    """
    return Sight(length=length, copies=2, past=past, prefix=prefix, live=live)
