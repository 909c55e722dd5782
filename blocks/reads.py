"""What a person writes of a model's two ends: what it reads, and what it says at every position.

Sizes that are None are the task's: a run fills them in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal


def _require(condition: bool, field_name: str, problem: str) -> None:
    if not condition:
        raise ValueError(f"{field_name}: {problem}")


def _require_sizes(spec: object, *names: str) -> None:
    for name in names:
        value = getattr(spec, name)
        _require(value is None or value >= 1, name, f"{value} is not a positive count.")


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens of a vocabulary; logits for the next one."""

    kind: ClassVar[str] = "tokens"


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Vectors of numbers, one after the other; `outputs` numbers said after each."""

    kind: ClassVar[str] = "frames"
    width: int | None = None  # numbers of a frame
    outputs: int | None = None

    def __post_init__(self) -> None:
        _require_sizes(self, "width", "outputs")


@dataclass(frozen=True, kw_only=True)
class Series:
    """A window of one channel in patches; the values after it, said from the last patches.

    With `normalise: window` the window's mean and standard deviation are taken out and put back
    (reversible instance normalisation, Kim et al., ICLR 2022); `last` takes the last value out.
    """

    kind: ClassVar[str] = "series"
    lookback: int | None = None  # values of a window
    horizon: int | None = None  # values of a forecast
    patch: int = 16  # values of a patch; 1 for points
    stride: int = 8  # values from patch to patch
    normalise: Literal["window", "last", "none"] = "window"
    forecast: Literal["last", "all"] = "last"  # the patches the forecast is read from
    # a linear map of the window, beside the blocks; fitted: a run begins it at the least squares of
    # the training windows, less a constant that `normalise: window` has no place for
    skip: Literal["none", "linear", "fitted"] = "none"

    def __post_init__(self) -> None:
        _require_sizes(self, "lookback", "horizon", "patch", "stride")
        fits = self.lookback is None or self.patch <= self.lookback
        _require(fits, "patch", f"{self.patch} values are more than lookback = {self.lookback}.")

    @property
    def patches(self) -> int:
        """How many there are: the last one ends with the window, the first may begin before it."""
        assert self.lookback is not None
        return -(-(self.lookback - self.patch) // self.stride) + 1


Reads = Tokens | Frames | Series
READS: Mapping[str, type[Reads]] = {cls.kind: cls for cls in (Tokens, Frames, Series)}
