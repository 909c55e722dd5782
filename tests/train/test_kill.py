"""Real processes that are killed in mid-training, and what the same command makes of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from playground.spec import to_yaml
from playground.train import RunFolder, train
from playground.train.cache import VARIABLE
from tests.train.small import run_with

LONG = run_with(steps=200, checkpoint_every=20, eval_every=100)
STEPS_SEEN = 60


def start(tmp_path: Path, out: str) -> subprocess.Popen[str]:
    spec = tmp_path / "run.yaml"
    spec.write_text(to_yaml(LONG))
    command = [sys.executable, "-m", "playground", "train", str(spec), "--out", str(tmp_path / out)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        VARIABLE: str(tmp_path / "cache"),
    }
    return subprocess.Popen(
        [*command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, float]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)["metrics"]


def wait_for_step(tmp_path: Path, out: str, step: int) -> RunFolder:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in (tmp_path / out / "runs").glob("*/metrics.jsonl"):
            folder = RunFolder(path.parent)
            if any(row.get("step", 0) >= step for row in folder.rows()):
                return folder
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached")


def test_after_kill_9_the_same_command_ends_in_the_same_loss_bit_for_bit(tmp_path: Path):
    process = start(tmp_path, "out")
    folder = wait_for_step(tmp_path, "out", STEPS_SEEN)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert folder.result() is None
    assert_same(finish(start(tmp_path, "out")), train(LONG, tmp_path / "whole").metrics)


@pytest.mark.slow
def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(tmp_path: Path):
    process = start(tmp_path, "out")
    folder = wait_for_step(tmp_path, "out", STEPS_SEEN)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "same command" in err
    assert "Traceback" not in err
    assert f"step {folder.checkpoints.steps()[-1]} of {LONG.train.steps}" in err
    assert_same(finish(start(tmp_path, "out")), train(LONG, tmp_path / "whole").metrics)


def assert_same(found: Mapping[str, float], whole: Mapping[str, float]) -> None:
    for name in ("val/loss", "test/loss", "test/accuracy"):
        assert found[name] == whole[name]
