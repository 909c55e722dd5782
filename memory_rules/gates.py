"""Gates: how much a token writes, how much is forgotten, how much surprise carries on.

A rule says which gates it wants learned and in which range; the block that holds the rule makes
them from its input. A field of a rule reads `token`, `head`, `channel`, `value_channel`,
`fixed:0.9` or `none`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

GateKind = Literal["token", "head", "channel", "value_channel"]
KINDS: tuple[str, ...] = ("token", "head", "channel", "value_channel")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A learned gate: `low + (high - low) * sigmoid(logits)^power`, or `low + softplus(logits)`.

    The latter if it has no upper end. A larger power lets a gate go nearer to its lower end.

    kind: token [B, T, H]; head the same for all tokens; channel [B, T, H, d_in] of each matrix
        (its rows); value_channel [B, T, H, d_out] (its columns).
    init: the value it starts from, inside the range, whatever the power.
    width: a trailing axis of its own, for gates that weigh several lags.
    """

    kind: GateKind = "token"
    low: float = 0.0
    high: float = 1.0
    init: float = 0.5
    width: int | None = None
    power: float = 1.0

    def of(self, logits: Tensor) -> Tensor:
        """The gate of its logits, elementwise."""
        if math.isinf(self.high):
            return self.low + F.softplus(logits)
        share = torch.sigmoid(logits)
        share = share if self.power == 1.0 else share**self.power
        return self.low + (self.high - self.low) * share

    @property
    def logit(self) -> float:
        """The bias that gives `init`."""
        if math.isinf(self.high):
            return math.log(math.expm1(self.init - self.low))
        share = ((self.init - self.low) / (self.high - self.low)) ** (1.0 / self.power)
        return math.log(share / (1.0 - share))


class Words:
    """Of a text: the words it may be. `fixed:0.9` stands for fixed with any number in [0, 1],
    `passes:2` for passes with any whole number.
    """

    def __init__(self, *words: str) -> None:
        self.words = words

    def fits(self, text: object) -> bool:
        """Whether it is one of them."""
        if not isinstance(text, str):
            return False
        kind, colon, number = text.partition(":")
        like = next((w for w in self.words if colon and w.startswith(f"{kind}:")), None)
        if like is None:
            return text in self.words
        if like.rpartition(":")[2].isdigit():
            return number.isdigit()
        try:
            return 0.0 <= float(number) <= 1.0
        except ValueError:
            return False


SCALAR = Words("token", "head", "fixed:0.9", "none")
CHANNELS = Words("token", "head", "channel", "value_channel", "fixed:0.9", "none")
ANCHORS = Words("chunk", "token", "passes:2")


def parse(field: str, text: str, allowed: tuple[str, ...]) -> tuple[str, float | None]:
    """Split a gate field into its kind and, for `fixed:x`, its value.

    Raises:
        ValueError: naming the field, the problem and what would do.
    """
    kind, _, number = text.partition(":")
    legal = ", ".join([*allowed, "fixed:VALUE", "none"])
    if kind == "fixed":
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"{field}: {text!r} has no number; write fixed:0.9.") from None
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{field}: fixed value {value} is not in [0, 1].")
        return "fixed", value
    if number or (kind not in allowed and kind != "none"):
        raise ValueError(f"{field}: {text!r} is not a gate. Allowed: {legal}.")
    return kind, None
