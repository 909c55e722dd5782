"""Forecasting: borders, windows and scaling as published, floors to four digits, examples."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from playground.errors import DataError, SpecError
from playground.spec.tasks import Forecast
from playground.tasks import ForecastTask, evaluate
from playground.tasks.linear_floor import linear_map
from playground.tasks.series_data import PERIODS

DATA = Path(os.environ.get("PLAYGROUND_DATA", "/nowhere"))
DAY = int(PERIODS[0])  # rows of the generated source's shorter season
H1, M1 = "ett/ETTh1.csv", "ett/ETTm1.csv"
needs_ett = pytest.mark.skipif(not (DATA / M1).is_file(), reason=f"no $PLAYGROUND_DATA/{M1}")


def small(**fields) -> ForecastTask:
    return ForecastTask(Forecast(**{"lookback": 24, "horizon": 12, **fields}))


class Says:
    """A model that is a function."""

    def __init__(self, forecast) -> None:
        self.forecast = forecast

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.forecast(tokens)


@needs_ett
@pytest.mark.parametrize(
    ("source", "horizon", "windows"),
    [(H1, 96, 2785), (H1, 720, 2161), (M1, 96, 11425), (M1, 720, 10801)],
)
def test_the_windows_are_those_of_the_published_tables(source, horizon, windows) -> None:
    facts = ForecastTask(Forecast(source=source, horizon=horizon)).describe()
    assert facts["windows"]["test"] == facts["windows"]["val"] == windows
    unit = 4 if source == M1 else 1
    assert facts["borders"]["test"] == [11520 * unit, 14400 * unit]
    assert facts["channels"] == ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]


@needs_ett
@pytest.mark.parametrize(
    ("source", "horizon", "lookback", "linear", "persistence"),
    [
        (H1, 96, 96, (0.3833, 0.3917), (1.2944, 0.7132)),
        (H1, 720, 96, (0.4697, 0.4615), (1.3351, 0.7550)),
        (H1, 96, 512, (0.3672, 0.3915), None),
        pytest.param(M1, 96, 96, (0.3509, 0.3714), (1.2139, 0.6648), marks=pytest.mark.slow),
    ],
)
def test_the_floors_are_those_that_were_measured(source, horizon, lookback, linear, persistence):
    spec = Forecast(source=source, horizon=horizon, lookback=lookback)
    floors = ForecastTask(spec).floors()
    assert (round(floors["linear_mse"], 4), round(floors["linear_mae"], 4)) == linear
    if persistence:
        found = (round(floors["persistence_mse"], 4), round(floors["persistence_mae"], 4))
        assert found == persistence


def test_val_and_test_begin_with_the_rows_before_their_border() -> None:
    task = small()
    borders, values = task.borders, task.table.values
    assert list(borders) == ["train", "val", "test"]
    assert borders["train"][1] == borders["val"][0]
    train = values[: borders["train"][1]]
    for split in ("val", "test"):
        first = values[borders[split][0] - 24 : borders[split][0]]
        wanted = (first - train.mean(0)) / train.std(0)
        np.testing.assert_allclose(task.parts[split][:24], wanted, rtol=1e-5, atol=1e-6)
        assert task.windows(split) == borders[split][1] - borders[split][0] - 12 + 1
    np.testing.assert_allclose(task.parts["train"].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(task.parts["train"].std(0), 1, rtol=1e-5)


def test_an_example_is_one_channel_and_what_follows_it() -> None:
    task = small()
    batch = task.batch("train", 3, 2, 64)
    assert batch.tokens.shape == (64, 24)
    assert batch.targets.shape == (64, 1, 12)
    rows = task.parts["train"]
    for window, target in zip(batch.tokens.numpy(), batch.targets.numpy(), strict=True):
        at, channel = np.argwhere(np.isclose(rows, window[0], atol=0))[0]
        assert np.array_equal(rows[at : at + 24, channel], window)
        assert np.array_equal(rows[at + 24 : at + 36, channel], target[0])


def test_examples_do_not_depend_on_the_size_of_a_batch_and_each_comes_once() -> None:
    task = small()
    count = task.windows("train") * 3
    whole = task.batch("train", 1, 0, count + 6).tokens
    size = 6
    for index in (0, 1, count // size - 1, count // size):
        part = task.batch("train", 1, index, size).tokens
        assert torch.equal(part, whole[index * size : (index + 1) * size])
    assert len({row.numpy().tobytes() for row in whole[:count]}) == count


def test_all_windows_are_scored_once() -> None:
    task = small()
    scores = evaluate(task, Says(lambda x: x[:, None, -1:].expand(-1, 1, 12)), "test")
    assert scores["tokens"] == task.windows("test") * 3 * 12
    floors = task.floors()
    assert scores["mse"] == pytest.approx(floors["persistence_mse"], rel=1e-5)
    assert scores["mae"] == pytest.approx(floors["persistence_mae"], rel=1e-5)
    assert scores["loss"] == scores["mse"]
    part = evaluate(task, Says(lambda x: x[:, None, -1:].expand(-1, 1, 12)), "test", batches=1)
    assert part["tokens"] == 1024 * 12


def test_a_known_cycle_is_taken_from_windows_and_future_alike() -> None:
    plain, task = small(), small(cycle=DAY)
    assert task.windows("test") == plain.windows("test")
    train, rows = task.values["train"], len(task.values["train"])
    usual = np.stack([train[i::DAY].mean(0) for i in range(DAY)])
    np.testing.assert_allclose(task.parts["train"], train - usual[np.arange(rows) % DAY], atol=1e-5)
    first = task.borders["test"][0] - 24  # the first row that a window of test reads
    wanted = plain.parts["test"][0] - usual[first % DAY]
    np.testing.assert_allclose(task.parts["test"][0], wanted, atol=1e-5)
    floors, before = task.floors(), plain.floors()
    assert {name: floors[name] for name in before} == before
    assert floors["cyclic_mse"] < floors["linear_mse"]
    scores = evaluate(task, Says(lambda x: x[:, None, -1:].expand(-1, 1, 12)), "test")
    exact = np.lib.stride_tricks.sliding_window_view(task.parts["test"].astype(float), 36, axis=0)
    assert scores["mse"] == pytest.approx(((exact[..., 24:] - exact[..., 23:24]) ** 2).mean())


def test_the_loss_of_training_may_be_another() -> None:
    task = small(loss="absolute")
    scores = evaluate(task, Says(lambda x: torch.zeros(len(x), 1, 12)), "val")
    assert scores["loss"] == pytest.approx(scores["mae"])
    assert scores["mse"] != pytest.approx(scores["mae"])
    floors = [small(loss=loss).floors() for loss in ("squared", "absolute", "huber")]
    assert floors[0]["linear"] == floors[0]["linear_mse"] != floors[0]["linear_mae"]
    assert floors[1]["linear"] == floors[1]["linear_mae"]
    assert "linear" not in floors[2]


def test_the_linear_map_finds_a_recurrence_and_a_season_is_forecast() -> None:
    hours = np.arange(400)
    wave = np.stack([np.sin(2 * np.pi * hours / p) for p in (PERIODS[0], 17.0)], axis=1)
    weight, bias = linear_map(wave, 48, 12)
    window = wave[100:148, 0]
    said = (window - window[-1]) @ weight + bias + window[-1]
    np.testing.assert_allclose(said, wave[148:160, 0], atol=1e-6)
    floors = small(lookback=48).floors()
    assert floors["linear_mse"] < 0.5 * floors["persistence_mse"]


def test_a_csv_of_ones_own_is_cut_by_fractions(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    lines = ["date,a,b", *(f"2020-01-{i},{i},{i * i % 7}" for i in range(200))]
    path.write_text("\n".join(lines))
    task = small(source=str(path), lookback=8, horizon=4)
    assert task.borders == {"train": (0, 140), "val": (140, 160), "test": (160, 200)}
    assert task.describe()["protocol"] == "fractions"
    path.write_text("\ufeff" + "\n".join(lines) + "\n\n")  # as a spreadsheet may write it
    marked = small(source=str(path), lookback=8, horizon=4)
    assert marked.borders == task.borders
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="ett_hour needs 14400 rows"):
        small(source=str(path), borders="ett_hour")
    with pytest.raises(DataError, match="too few for a window"):
        small(source=str(path), lookback=8, horizon=30)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("date,a\n1,x\n", "value of line 2, column 'a', is 'x', no finite number"),
        ("date,a\n1,2\n\n2,nan\n", "value of line 4, column 'a', is 'nan', no finite number"),
        ("date,a,b\n1,2,3\n2,4,\n", "value of line 3, column 'b', is missing"),
        ("date,a\n1,2,3\n", "line 2 has 3 cells, the header has 2"),
        ("date\n1\n2\n", "no column beside the date"),
        ("date,a\n", "a header and no rows"),
        ("Date,a\n1,2\n", "first column is called 'Date', not date"),
        ("", "it is empty"),
        ("date,a\n1,\udcff\n", "cannot be read"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match=problem):
        small(source=str(path))


def test_a_spec_that_cannot_be_says_what_to_write() -> None:
    with pytest.raises(SpecError, match="horizon"):
        Forecast(horizon=0)
    with pytest.raises(SpecError, match="cycle"):
        Forecast(cycle=-24)
    with pytest.raises(DataError, match="more than the"):
        small(cycle=100_000)
    with pytest.raises(DataError, match="no such file"):
        small(source="nowhere.csv")
