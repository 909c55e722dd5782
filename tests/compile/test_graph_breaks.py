"""`TORCH_LOGS=graph_breaks` is empty: every model, compiled, forward and backward, in chunks.

What breaks a graph is Dynamo's affair, before any backend; so it need not be Inductor, which takes
minutes. `aot_eager` traces the backward pass too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SPECS = sorted((Path(__file__).parents[2] / "specs" / "models").glob("*.yaml"))
REPRESENTATIVES = ("gated_delta", "titans_mac", "attention")

PROGRAM = """
import sys, torch
compiled = torch.compile
def traced(function, **given):
    given.pop("options", None)  # of Inductor
    return compiled(function, **given | {"backend": sys.argv[1]})
torch.compile = traced

import playground as pg
from torch._dynamo.utils import counters

for path in sys.argv[2:]:
    torch.compiler.reset()
    counters.clear()
    spec = pg.load(path, "dim=16", "depth=2", "vocab=32")
    model = pg.compile(spec, lowering="auto")
    x = torch.randint(0, spec.vocab, (2, 65))
    model(x).square().mean().backward()
    assert all(p.grad is not None for p in model.blocks[-1].feedforward.parameters())
    graphs, breaks = counters["stats"]["unique_graphs"], len(counters["graph_break"])
    print(path, "graphs", graphs, "breaks", breaks)
"""


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
