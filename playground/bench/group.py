"""From a group to its rows: the gate of every cell first, then times of those that are green."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from playground.bench.cell import Cell, Group, Prepared
from playground.bench.measure import Times, measure_together, nothing
from playground.bench.peak import Peak
from playground.bench.resources import extra_memory, graph_breaks, seconds
from playground.bench.row import Row
from playground.errors import LoweringError

Ready = tuple[Row, Prepared, float]
Say = Callable[[str, int], None]


def measure_group(
    group: Group,
    *,
    device: str,
    peak: Peak | None = None,
    baseline: str = "eager",
    repeats: int = 20,
    warmup: int = 3,
    say: Say = lambda text, ready: None,
) -> list[Row]:
    """The rows of a group, in the order of its cells.

    Args:
        group: what is compared.
        device: cpu or cuda.
        peak: of this machine, in this run; without it no row has a share of it.
        baseline: path that speed-ups are over.
        repeats: calls that count.
        warmup: calls before them.
        say: told what comes next, and how many cells are prepared.
    """
    sync = torch.cuda.synchronize if device == "cuda" else nothing
    rows: dict[str, Row] = {}
    ready: dict[str, Ready] = {}
    for i, cell in enumerate(group.cells):
        say(f"{group}: {cell.path}", i)
        found = _prepared(group, cell, device, sync)
        rows[cell.path] = found if isinstance(found, Row) else found[0]
        if not isinstance(found, Row):
            ready[cell.path] = found
    say(f"{group}: times", len(group.cells))
    functions = {path: prepared.run for path, (_, prepared, _) in ready.items()}
    times = measure_together(functions, warmup=warmup, repeats=repeats, sync=sync)
    for path, (row, prepared, first) in ready.items():
        rows[path] = _timed(group, row, times[path], peak, first if prepared.compiled else None)
    return [_compared(row, rows.get(baseline)) for row in rows.values()]


def _prepared(group: Group, cell: Cell, device: str, sync: Callable[[], object]) -> Row | Ready:
    """A cell that may be timed, with its first call's seconds; or its row, if it may not."""
    said: dict[str, Any] = {
        name: getattr(group, name)
        for name in ("kind", "what", "rule_class", "mode", "shape", "scale", "cost", "tokens")
    }
    blank = Row(**said, path=cell.path, other=cell.other)
    if cell.refused:
        return replace(blank, refused=cell.refused)
    try:
        prepared, breaks = cell.prepare(), graph_breaks()
        first, found = seconds(prepared.run, sync)
        breaks = graph_breaks() - breaks if prepared.compiled else None
        row = replace(blank, ran=prepared.ran(), graph_breaks=breaks)
        if not all(_finite(found)):
            return replace(row, failed="what it gives is not finite")
        gate = None if prepared.check is None else prepared.check()
        if gate is not None and not gate.green:
            return replace(row, gate=gate)
        memory = extra_memory(prepared.run, device)
    except LoweringError as error:
        return replace(blank, refused=_reason(error, cell.lowering))
    except Exception as error:  # whatever a broken path raises, the others are still measured
        return replace(blank, failed=_short(f"{type(error).__name__}: {error}"))
    return replace(row, gate=gate, memory=memory), prepared, first


def _finite(found: object) -> Iterator[bool]:
    """Whether every tensor in what a call gave is finite."""
    if isinstance(found, torch.Tensor):
        yield bool(torch.isfinite(found).all())
    elif isinstance(found, tuple | list):
        for part in found:
            yield from _finite(part)


def _reason(error: LoweringError, lowering: str) -> str:
    return error.reasons.get(lowering, "") or " ".join([error.problem, error.fix]).strip()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:197]}..."


def _timed(group: Group, row: Row, times: Times, peak: Peak | None, first: float | None) -> Row:
    """The row with its time, and what follows from it."""
    of_step = times.per(group.steps)
    later, cost = times.median / 1e3, group.cost
    known = peak if peak is not None and not row.other else None
    flops = cost.flops and known and cost.flops / of_step.median * 1e3 / known.flops_per_s
    moved = cost.bytes and known and cost.bytes / of_step.median * 1e3 / known.bytes_per_s
    return replace(
        row,
        times=of_step,
        flops_share=flops,
        bytes_share=moved,
        compile_s=None if first is None else max(0.0, first - later),
    )


def _compared(row: Row, baseline: Row | None) -> Row:
    if row.times is None or baseline is None or baseline.times is None:
        return row
    return replace(row, speedup=baseline.times.median / row.times.median)
