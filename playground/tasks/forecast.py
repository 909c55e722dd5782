"""Long-term forecasting by the protocol of the published tables (ETT, arXiv:2012.07436).

The rows are cut into train, val and test; val and test begin `lookback` rows early, so that the
first value that is scored follows the border. Channels are scaled by mean and standard deviation
(population) of the train rows, and losses and scores are of scaled values. All windows count, one
after every row: MSE and MAE are means over windows, horizon and channels. A model sees one channel
at a time. With `cycle` it sees and says what a channel is beside its usual course, the mean of the
train rows at each place of the cycle, which is known of rows to come (a closed form of CycleNet's,
arXiv:2409.18479): errors stay those of the values.

    ett_hour     12, 4 and 4 months of 30 days, of hours; the rest of the file is not used
    ett_minute   the same of quarter hours
    fractions    70 %, 10 % and 20 % of the rows
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from playground.errors import DataError
from playground.spec.tasks import Forecast
from playground.tasks.base import SPLITS, Ask, Batch, Scoring, check_split
from playground.tasks.counter import order
from playground.tasks.linear_floor import linear_map, linear_scores, persistence_scores
from playground.tasks.losses import Distance
from playground.tasks.series_data import load_table

MONTHS = (12, 4, 4)
HOURS = 30 * 24  # of a month
ROWS = 1024  # windows of a channel scored at once

Scaled = NDArray[np.float32]
# Seconds for long horizons; the runs of a sweep ask for the same floors.
_known_floors: dict[tuple[str, int, int, int], dict[str, tuple[float, float]]] = {}


class ForecastTask:
    """Windows of series.

    Args:
        spec: `playground.spec.tasks.Forecast`.

    Raises:
        DataError: the source cannot be read, or is too short for a window.
    """

    vocab = 0

    def __init__(self, spec: Forecast) -> None:
        self.spec, self.table = spec, load_table(spec.source)
        self._map: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None
        self.loss = Distance(spec.loss)
        self.rule = _rule(spec)
        self.borders = _borders(self.rule, len(self.table.values))
        start, stop = self.borders["train"]
        train = self.table.values[start:stop]
        mean, std = train.mean(axis=0), train.std(axis=0)
        std = np.where(std > 0, std, 1.0)
        scaled = {split: (self._rows(split) - mean) / std for split in SPLITS}
        self.values = {split: rows.astype(np.float32) for split, rows in scaled.items()}
        self.parts: dict[str, Scaled] = self.values  # what models see
        if spec.cycle:
            usual = _usual(scaled["train"], spec.cycle)
            self.parts = {
                split: (rows - usual[self._places(split)]).astype(np.float32)
                for split, rows in scaled.items()
            }
        for split, rows in self.parts.items():
            if len(rows) < spec.lookback + spec.horizon:
                raise DataError(
                    f"task.source {spec.source}",
                    f"its {split} split has {len(rows)} rows, too few for a window of "
                    f"{spec.lookback} + {spec.horizon}.",
                    "Write a smaller task.horizon or task.lookback.",
                )

    def _rows(self, split: str) -> NDArray[np.float64]:
        return self.table.values[slice(*self._reach(split))]

    def _reach(self, split: str) -> tuple[int, int]:
        """First row and end of a split, with what its first window reads."""
        start, stop = self.borders[split]
        return (start if split == "train" else start - self.spec.lookback), stop

    def _places(self, split: str) -> NDArray[np.int64]:
        """Of every row in the cycle; train begins at the first row of the file."""
        return np.arange(*self._reach(split)) % self.spec.cycle

    def windows(self, split: str) -> int:
        """How many windows of each channel a split has."""
        return len(self.parts[split]) - self.spec.lookback - self.spec.horizon + 1

    def data_sha(self) -> str:
        """Identity of file and borders."""
        return hashlib.sha256(f"{self.table.sha256} {self.borders}".encode()).hexdigest()

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Windows of single channels, in an order that is new in every pass over all of them.

        Returns:
            tokens [size, lookback], targets [size, 1, horizon].
        """
        check_split(split)
        count = self.windows(split) * self.parts[split].shape[1]
        every = np.arange(index * size, (index + 1) * size)
        chosen = np.empty(size, np.int64)
        for turn in np.unique(every // count):
            here = every // count == turn
            chosen[here] = order("forecast", seed, split, int(turn), count)[every[here] % count]
        return self._read(split, chosen)

    def _read(self, split: str, chosen: NDArray[np.int64]) -> Batch:
        """Windows by number: channel after channel of each window."""
        rows, lookback = self.parts[split], self.spec.lookback
        window, channel = np.divmod(chosen, rows.shape[1])
        every = sliding_window_view(rows, lookback + self.spec.horizon, axis=0)  # a view
        found = torch.from_numpy(np.ascontiguousarray(every[window, channel]))
        return Batch(
            tokens=found[:, :lookback].contiguous(), targets=found[:, None, lookback:].contiguous()
        )

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score all windows of all channels.

        Args:
            split: "train", "val" or "test".
            batches: at most so many batches of 1024, evenly spread; None for all windows.

        Returns:
            "loss" (of training, per value), "mse", "mae", "tokens" (values scored).
        """
        check_split(split)
        count = self.windows(split) * self.parts[split].shape[1]
        most = count if batches is None else min(count, batches * ROWS)
        every = np.linspace(0, count - 1, most).round().astype(np.int64)
        starts = range(0, most, ROWS)
        sums = np.zeros(3)
        for done, first in enumerate(starts, start=1):
            chosen = every[first : first + ROWS]
            # the last window fills the last batch up: one shape, so that a model is compiled once
            spare = min(ROWS, most) - len(chosen)
            batch = self._read(split, np.pad(chosen, (0, spare), mode="edge"))
            outputs = yield Ask(batch=batch, carry=False, done=done, total=len(starts))
            said, targets = outputs[: len(chosen)].double(), batch.targets[: len(chosen)]
            off = said - targets.to(said)
            loss = self.loss.summed(said, targets.to(said))
            sums += [loss.item(), off.square().sum().item(), off.abs().sum().item()]
        values = float(most * self.spec.horizon)
        loss, mse, mae = (sums / values).tolist()
        return {"loss": loss, "mse": mse, "mae": mae, "tokens": values}

    def closed_form(self) -> tuple[Tensor, Tensor]:
        """The floor's `linear_map`, of the windows of train: [lookback, horizon] and [horizon]."""
        if self._map is None:
            self._map = linear_map(self.parts["train"], self.spec.lookback, self.spec.horizon)
        weight, bias = self._map
        return torch.from_numpy(weight), torch.from_numpy(bias)

    def floors(self) -> dict[str, float]:
        """On test, of one linear map for all channels and of the last value: MSE and MAE.

        "linear" and "persistence" are that of the two which is the loss of training, if one is;
        with a cycle "cyclic" is the linear map of what models see, "linear" that of the values.
        """
        sizes = (self.spec.lookback, self.spec.horizon)
        key = (self.data_sha(), *sizes, self.spec.cycle)
        if key not in _known_floors:
            test = self.values["test"]
            _known_floors[key] = {
                "linear": linear_scores(self.values["train"], test, *sizes),
                "persistence": persistence_scores(test, *sizes),
            }
            if self.spec.cycle:
                seen = linear_scores(self.parts["train"], self.parts["test"], *sizes)
                _known_floors[key]["cyclic"] = seen
        found: dict[str, float] = {}
        for name, (mse, mae) in _known_floors[key].items():
            found |= {f"{name}_mse": mse, f"{name}_mae": mae}
            if self.spec.loss != "huber":
                found[name] = mse if self.spec.loss == "squared" else mae
        return found

    def describe(self) -> dict[str, Any]:
        """Where the rows come from and where they were cut, how many windows are scored."""
        return {
            "task": "forecast",
            "source": self.spec.source,
            "sha256": self.table.sha256,
            "rows": len(self.table.values),
            "channels": list(self.table.names),
            "protocol": self.rule,
            "borders": {split: list(border) for split, border in self.borders.items()},
            "lookback": self.spec.lookback,
            "horizon": self.spec.horizon,
            "windows": {split: self.windows(split) for split in SPLITS},
            "cycle": self.spec.cycle,
            "loss": self.spec.loss,
            "evaluation": "mean over all windows, channels and the horizon, of scaled values",
        }


def _usual(train: NDArray[np.float64], cycle: int) -> NDArray[np.float64]:
    """The mean of each channel at each place of the cycle, [cycle, channels].

    Raises:
        DataError: there are fewer rows than places.
    """
    if len(train) < cycle:
        problem = f"{cycle} is more than the {len(train)} rows of train."
        raise DataError("task.cycle", problem, "Write a smaller one, or 0.")
    return np.stack([train[place::cycle].mean(axis=0) for place in range(cycle)])


def _rule(spec: Forecast) -> str:
    """Which borders hold: those that are asked for, or those of a file of this name."""
    if spec.borders != "auto":
        return spec.borders
    name = Path(spec.source).name.lower()
    for start, rule in (("etth", "ett_hour"), ("ettm", "ett_minute")):
        if name.startswith(start):
            return rule
    return "fractions"


def _borders(rule: str, rows: int) -> dict[str, tuple[int, int]]:
    if rule == "fractions":
        train, test = int(rows * 0.7), int(rows * 0.2)
        ends = (train, rows - test, rows)
    else:
        month = HOURS * (4 if rule == "ett_minute" else 1)
        ends = tuple(int(end) * month for end in np.cumsum(MONTHS))
    if ends[-1] > rows:
        problem = f"{rule} needs {ends[-1]} rows, there are {rows}."
        raise DataError("task.borders", problem, "Write fractions.")
    return dict(zip(SPLITS, zip((0, *ends[:-1]), ends, strict=True), strict=True))
