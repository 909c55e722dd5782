"""The names that a task says its scores will have are those that its evaluation gives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from blocks.spec import Attention
from playground.spec import ModelSpec, RunSpec, TrainSpec
from playground.spec.tasks import TASK_SPECS
from playground.tasks import TASKS, make_task
from playground.tasks.score_names import metrics_of, scores_of

SMALL: dict[str, list[dict[str, Any]]] = {
    "text": [{"length": 16, "corpus": "{text}"}],
    "music": [{"source": "generated"}],
    "forecast": [{"lookback": 8, "horizon": 4}],
    "dna": [{"source": "generated"}],
    "mqar": [
        {"vocab": 32, "length": 12, "pairs": 2, "test_examples": 4, "suite": ((16, 2), (24, 4))},
        {"vocab": 32, "length": 12, "pairs": 2, "test_examples": 4},
    ],
    "state_tracking": [{"test_lengths": (8, 16), "length": 8, "test_examples": 4}],
    "niah": [
        {"template": "short", "length": 128, "test_lengths": (128, 256), "test_examples": 10},
        {"template": "short", "length": 128, "depth": 50.0, "test_examples": 4},
    ],
    "babilong": [{"corpus": "{text}", "length": 256, "test_lengths": (0, 256), "test_examples": 4}],
}
MAD = [{"test_examples": 4, "length": 16}, {"test_examples": 4, "length": 16, "protocol": "paper"}]
SMALL |= {kind: MAD for kind in TASK_SPECS if kind.startswith("mad_")}
SMALL["mad_selective_copy"] = [{**fields, "copies": 4} for fields in MAD]


def given(task: Any, split: str) -> set[str]:
    """The names that an evaluation of a model without any knowledge gives, without its counts."""
    scoring = task.scoring(split, batches=1)
    ask = next(scoring)
    while True:
        targets = ask.batch.targets
        real = targets.is_floating_point()
        said = torch.zeros_like(targets) if real else torch.zeros(*targets.shape, task.vocab)
        try:
            ask = scoring.send(said)
        except StopIteration as end:
            return {name for name in end.value if name not in ("tokens", "bytes")}


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_every_task_says_its_scores(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words to read again and again. " * 400)
    for fields in SMALL[kind]:
        own = {k: str(tmp_path / "a.txt") if v == "{text}" else v for k, v in fields.items()}
        spec = TASK_SPECS[kind](**own)
        task = make_task(spec)
        for split in ("val", "test"):
            said = scores_of(spec, split)
            assert said is not None
            assert len(set(said)) == len(said)
            found = given(task, split)
            assert found <= set(said)
            assert {name for name in said if "/" not in name} <= found


def run(task: Any, **fields: Any) -> RunSpec:
    model = ModelSpec(vocab=64, dim=16, depth=1, block=Attention())
    return RunSpec(model=model, task=task, **fields)


def test_metrics_of_a_run_are_those_of_val_test_and_what_it_is_evaluated_under() -> None:
    task = TASK_SPECS["mqar"](vocab=32, length=12, pairs=2, suite=((16, 2),))
    plain = {f"{s}/{n}" for s in ("val", "test") for n in ("loss", "accuracy", "solved")}
    sized = {f"test/{n}" for n in ("loss@16x2", "accuracy@16x2", "solved@16x2", "accuracy@suite")}
    assert metrics_of(run(task)) == plain | sized | {"tokens_per_s"}
    under = metrics_of(run(task, evaluate=({"task.length": 24}, {"task.pairs": 3})))
    assert under is not None
    assert {"test/loss@length=24", "test/accuracy@16x2@pairs=3"} <= under
    assert "val/loss@length=24" not in under
    blind = metrics_of(run(task, train=TrainSpec(score_test=False)))
    assert blind == {name for name in plain if name.startswith("val/")} | {"tokens_per_s"}


@dataclass(frozen=True, kw_only=True)
class Mine:
    """A user's own spec."""

    kind: ClassVar[str] = "mine"

    def symbols(self) -> int | None:
        return 32


def test_a_task_of_ones_own_says_none_and_nothing_is_known_of_its_runs() -> None:
    assert scores_of(Mine(), "test") is None
    assert metrics_of(run(Mine())) is None
