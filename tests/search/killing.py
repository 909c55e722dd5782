"""A sweep as a command whose processes are killed at random moments, and what is left of it."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SWEEP = """
kind: sweep
base:
  vocab: 64
  dim: 16
  depth: 1
  block:
    {kind: lmm, memory: {kind: titans, network: linear, heads: 2, chunk_size: 8, conv: 0}}
task: {kind: mqar, vocab: 64, length: 32, pairs: 3, test_examples: 64}
train: {steps: 30, batch: 8, log_every: 5, eval_every: 10, checkpoint_every: 5}
variants:
  no-momentum: {block.memory.momentum: none}
  no-decay: {block.memory.decay: none}
  wide: {block.feedforward.expand: 3.0}
tune: {grid: {train.optim.lr: [1e-3, 3e-3]}, seeds: 1, edge: warn}
seeds: 3
dtype: fp64
device: cpu
compile: false
report: {metrics: [test/loss, test/accuracy]}
run: {workers: 2, threads: 1, vectorize: 4, retries: 30}
"""  # a stack whose worker dies more often than `retries` is parted, and in the last bit that shows
WAIT_S = (0.2, 4.0)  # between two kills
LONGEST_S = 900  # of a sweep that takes half a minute: beside other work it may take long
TARGETS = ("worker", "driver", "tree")


@dataclass(kw_only=True)
class Command:
    """`playground sweep` over and over, until it has ended by itself."""

    folder: Path
    words: Sequence[str] = ()
    kills: Counter[str] = field(default_factory=Counter)

    def start(self) -> subprocess.Popen[bytes]:
        """The same command as ever, in a process group of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        spec = self.folder / "small.yaml"
        spec.write_text(SWEEP)
        command = [sys.executable, "-m", "playground", "sweep", str(spec), *self.words]
        with (self.folder / "said.txt").open("ab") as said:
            return subprocess.Popen(
                [*command, "--out", str(self.folder)],
                stdout=said,
                stderr=said,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def undisturbed(self) -> None:
        """To its end."""
        self._ends(self.start())

    def disturbed(self, kills: int, seed: int, workers: Callable[[int], list[int]]) -> None:
        """To its end, with kills before, of every kind as many as of the others.

        Half of the moments are counted from the start of the command, half from its first worker:
        a driver that has none yet has done nothing that could be lost.

        Args:
            kills: until there are so many; the sweep may end before.
            seed: of moments and victims.
            workers: pid of the driver -> pids of its workers.
        """
        rng, process = random.Random(seed), self.start()
        while self.kills.total() < kills:
            target = min(rng.sample(TARGETS, len(TARGETS)), key=lambda kind: self.kills[kind])
            if target == "worker" or rng.random() < 0.5:
                _until_busy(process, workers)
            time.sleep(rng.uniform(*WAIT_S))
            found = workers(process.pid)
            if process.poll() is not None:
                break
            if target == "worker" and not found:
                continue
            self.kills[target] += 1
            if target == "worker":
                kill(rng.choice(found))
                continue
            for pid in [process.pid, *(found if target == "tree" else [])]:
                kill(pid)
            process.wait()
            process = self.start()
        self._ends(process)

    def _ends(self, process: subprocess.Popen[bytes]) -> None:
        """By itself and well; nothing of it is left if it does not."""
        try:
            process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.returncode == 0, (self.folder / "said.txt").read_text()

    def table(self) -> str:
        """The report, without its columns of time.

        What was killed in a stack may be the only one left of it, and then has a speed of its own.
        """
        text = (self.folder / "sweeps" / "small" / "report.md").read_text()
        return timeless(text)

    def results(self) -> Mapping[str, Mapping[str, float]]:
        """Every run's metrics, time left out."""
        found = {}
        for file in sorted((self.folder / "runs").glob("*/result.json")):
            result = json.loads(file.read_text())
            assert result["status"] == "ok", result
            timeless = {k: v for k, v in result["metrics"].items() if not k.endswith("_per_s")}
            found[file.parent.name] = timeless
        return found

    def steps(self) -> list[list[int]]:
        """The steps of every run's training rows, in the order they lie in its file."""
        files = sorted((self.folder / "runs").glob("*/metrics.jsonl"))
        rows = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
        return [[row["step"] for row in each if row["kind"] == "train"] for each in rows]


def timeless(report: str) -> str:
    """A report in Markdown without the column `tokens/s` of its first table and its footnote."""
    lines = [line for line in report.splitlines() if not line.startswith("- tokens/s:")]
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    heads = [head.strip() for head in lines[first].split("|")]
    if "tokens/s" in heads:
        place = heads.index("tokens/s")
        for i in range(first, first + lines[first:].index("")):
            cells = lines[i].split("|")
            lines[i] = "|".join(cells[:place] + cells[place + 1 :])
    return "\n".join(lines)


def _until_busy(process: subprocess.Popen[bytes], workers: Callable[[int], list[int]]) -> None:
    """It has workers, or has ended."""
    end = time.monotonic() + LONGEST_S
    while process.poll() is None and not workers(process.pid):
        assert time.monotonic() < end, "neither a worker nor an end"
        time.sleep(0.05)


def kill(pid: int) -> None:
    """kill -9; it may have ended by itself a moment ago."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def children(pid: int, name: str = "multiprocessing.spawn") -> list[int]:
    """Processes of the session of `pid` whose command line has a name in it."""
    every = _processes(name).items()
    return [found for found, process in every if process.session == pid and found != pid]


def descendants(pid: int, name: str) -> list[int]:
    """Processes below `pid`, in whatever session, whose command line has a name in it."""
    every = _processes("")

    def below(found: int) -> bool:
        parent = every[found].parent if found in every else 0
        return parent == pid or (parent > 1 and below(parent))

    return [found for found in _processes(name) if below(found)]


class _Process(NamedTuple):
    parent: int
    session: int


def _processes(name: str) -> dict[int, _Process]:
    """Those whose command line has a name in it, but what has ended."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            stat = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        fields = re.sub(r"^.*\) ", "", stat).split()
        if name in line and fields[0] != "Z":
            found[int(folder.name)] = _Process(int(fields[1]), int(fields[3]))
    return found


def assert_same(found: Command, whole: Command) -> None:
    """Every run is there once, with its own numbers, and the report is the same."""
    assert found.results() == whole.results()
    assert found.steps() == whole.steps()
    assert found.table() == whole.table()


def kill_often(
    kills: int,
    folder: Path,
    whole: Command,
    workers: Callable[[int], list[int]],
    words: Sequence[str] = (),
) -> None:
    """Disturb sweep after sweep until so many kills are spent; each ends as the whole one."""
    spent: Counter[str] = Counter()
    for seed in range(100):
        command = Command(folder=folder / str(seed), words=words, kills=spent)
        command.disturbed(kills, seed, workers)
        assert_same(command, whole)
        if spent.total() >= kills:
            break
    assert spent == {kind: kills // len(TARGETS) for kind in TARGETS}
