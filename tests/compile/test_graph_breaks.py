"""`TORCH_LOGS=graph_breaks` is empty: models of `specs/`, compiled, forward and backward.

What breaks a graph is Dynamo's affair, before any backend; so it need not be Inductor, which takes
minutes. `aot_eager` traces the backward pass too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "specs"
SPECS = sorted((FOLDER / "models").glob("*.yaml"))
KINDS = ("runs", "tasks", "sweeps", "searches")
RUNS = sorted(path for kind in KINDS for path in (FOLDER / kind).glob("*.yaml"))
TEXTS = {path: path.read_text() for path in sorted(FOLDER.glob("benches/*.yaml"))}
BENCHES = [path for path, text in TEXTS.items() if "models:" in text]
RULES = [path for path, text in TEXTS.items() if "rules:" in text]
REPRESENTATIVES = ("gated_delta", "titans_mac", "attention")

TRACED = """
import sys, torch
compiled = torch.compile
def traced(function, **given):
    given.pop("options", None)  # of Inductor
    return compiled(function, **given | {"backend": sys.argv[1]})
torch.compile = traced

import playground as pg
from torch._dynamo.utils import counters

def trace(name, spec, x, **given):
    torch.compiler.reset()
    counters.clear()
    model = pg.compile(spec, lowering="auto")
    model(x, **given).square().mean().backward()
    graphs, breaks = counters["stats"]["unique_graphs"], len(counters["graph_break"])
    print(name, "graphs", graphs, "breaks", breaks)
    return model
"""

PROGRAM = (
    TRACED
    + """
for path in sys.argv[2:]:
    spec = pg.load(path, "dim=16", "depth=2", "vocab=32")
    model = trace(path, spec, torch.randint(0, spec.vocab, (2, 65)))
    assert all(p.grad is not None for p in model.blocks[-1].feedforward.parameters())
"""
)

# Models of a bench as wide as they are, at most two layers of each.
TIMED = (
    TRACED
    + """
from dataclasses import replace

for name, model in pg.load(sys.argv[2]).models.items():
    model = replace(model, depth=min(2, model.depth))
    trace(name, model, torch.randint(0, model.vocab, (1, 65)))
"""
)

# Rules of a bench by its own compiled path, at a small shape.
SCANNED = (
    TRACED
    + """
from playground.bench import run_bench

shape = "shapes={batch: [1], length: [40], heads: [2], width: [16], dtype: [fp32]}"
ways = ["paths=[compiled]", "baseline=compiled", "modes=[forward_backward]", "peers=[]"]
spec = pg.load(sys.argv[2], "device=cpu", "repeats=1", "warmup=0", "models={}", shape, *ways)
for row, _ in run_bench(spec):
    assert row.ran and all(form.endswith(" compiled") for form in row.ran.values()), row
    print(row.what, "breaks", row.graph_breaks)
"""
)

# Every model of a run or a sweep, and the first of a search, on examples of its own task.
RUNNING = (
    TRACED
    + """
from search.plan import runs_of

spec = pg.load(sys.argv[2])
runs = [spec]
if isinstance(spec, pg.SweepSpec):
    runs = [run.spec for run in runs_of(spec)[0]]
elif isinstance(spec, pg.SearchSpec):
    runs = [spec.first()]
for run in {(run.model, run.task): run for run in runs}.values():
    batch = pg.make_task(run.task).batch("train", 0, 0, 2)
    given = {} if batch.positions is None else {"positions": batch.positions}
    trace(sys.argv[2], run.model, batch.tokens, **given)
"""
)


PROGRAMS = {"runs": RUNNING, "models": TIMED, "rules": SCANNED}
EVERY = [
    *(("runs", path) for path in RUNS),
    *(("models", path) for path in BENCHES),
    *(("rules", path) for path in RULES),
]


def logged(program: str, *words: str) -> tuple[list[str], str]:
    """What a program printed, and what torch logged of graph breaks."""
    environment = os.environ | {"TORCH_LOGS": "graph_breaks", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines(), done.stderr


def check(paths: list[Path], backend: str) -> None:
    printed, log = logged(PROGRAM, backend, *map(str, paths))
    assert log == ""
    assert len(printed) == len(paths)
    for line, path in zip(printed, paths, strict=True):
        words = line.split()
        assert words[0] == str(path) and words[-1] == "0", line
        assert int(words[2]) >= 1, line  # something was compiled


@pytest.mark.compile
def test_representatives_have_no_graph_break() -> None:
    check([path for path in SPECS if path.stem in REPRESENTATIVES], "eager")


@pytest.mark.compile
@pytest.mark.slow
@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_no_model_has_a_graph_break(path: Path) -> None:
    check([path], "aot_eager")


@pytest.mark.compile
@pytest.mark.slow
@pytest.mark.parametrize(("what", "path"), EVERY, ids=lambda p: getattr(p, "stem", p))
def test_nothing_that_a_spec_runs_has_a_graph_break(what: str, path: Path) -> None:
    if what == "runs" and "PLAYGROUND_DATA" not in os.environ:
        pytest.skip("some read files under PLAYGROUND_DATA")
    printed, log = logged(PROGRAMS[what], "aot_eager", str(path))
    assert log == ""
    assert printed
    assert all(line.endswith("breaks 0") for line in printed)


def test_a_graph_break_would_be_logged() -> None:
    program = """
import torch
def body(x):
    torch._dynamo.graph_break()
    return x + 1
torch.compile(body, backend="eager")(torch.ones(2))
"""
    _, log = logged(program)
    assert "Graph break" in log
