"""What a person writes of series to be forecast."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from playground.spec.require import require


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Long-term forecasting of several channels, each by itself (ETT and its family)."""

    kind: ClassVar[str] = "forecast"

    # generated, or a csv whose first column is the date, such as ett/ETTh1.csv
    source: str = "generated"
    # where train, val and test end: 12, 4 and 4 months of hours or quarter hours; or 70/10/20 %.
    # auto: by the name of the file
    borders: Literal["auto", "ett_hour", "ett_minute", "fractions"] = "auto"
    lookback: int = 96  # values the model reads; tables of 96 and 512 are not to be mixed
    horizon: int = 96  # values it says
    loss: Literal["squared", "absolute", "huber"] = "squared"  # of training; scores are both first
    # rows after which a channel's usual course comes again, 24 of hours; 0: none is known. Its mean
    # over the train rows is taken from window and future alike, so errors are of the values still
    cycle: int = field(default=0, metadata={"later": True})

    def __post_init__(self) -> None:
        require(bool(self.source), "source", "it is empty.", "Name a csv, or write generated.")
        for name in ("lookback", "horizon"):
            value = getattr(self, name)
            require(value >= 1, name, f"{value} is not a positive count.", "Write 96.")
        problem = f"{self.cycle} is no cycle of rows."
        require(self.cycle == 0 or self.cycle >= 2, "cycle", problem, "Write 24, or 0 for none.")

    def symbols(self) -> int | None:
        """None: values are no tokens."""
        return None

    def reads(self) -> dict[str, object]:
        """Windows of one channel."""
        return {"kind": "series", "lookback": self.lookback, "horizon": self.horizon}
