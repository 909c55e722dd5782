"""A whole bench: the groups of a spec, and their rows one group after another."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch

from playground.bench.cell import Group
from playground.bench.group import measure_group
from playground.bench.inputs import DTYPES, Dtype, Shape
from playground.bench.measure import nothing
from playground.bench.model_gate import ModelOracle
from playground.bench.models import ModelBench, shape_of
from playground.bench.peak import Peak, measure_peak
from playground.bench.peers import peer_cells
from playground.bench.resources import compile_cache
from playground.bench.row import Row
from playground.bench.rules import RuleWork
from playground.bench.write import stamp
from playground.spec import BenchSpec
from playground.spec.bench import OF_OPS, BenchRule, Mode, ShapesSpec
from playground.train import pick_device

Subject = tuple[str, tuple[Group, ...]]


def subjects(spec: BenchSpec, device: str) -> Iterator[Subject]:
    """Every rule and every model of a bench with its groups; nothing is run yet.

    Args:
        spec: the bench.
        device: cpu or cuda.
    """
    for rule in spec.rules:
        yield rule.name, tuple(_rule_groups(spec, rule, device))
    for name in spec.models:
        yield name, tuple(_model_groups(spec, name, device))


def _rule_groups(spec: BenchSpec, rule: BenchRule, device: str) -> Iterator[Group]:
    shapes = (shape for sizes in spec.every_shape() for shape in rule_shapes(sizes))
    modes: list[Mode] = [mode for mode in OF_OPS if mode in spec.modes]
    for shape, scale, mode in product(shapes, spec.gates, modes):
        work = RuleWork(
            rule=rule.rule,
            name=rule.name,
            shape=shape,
            mode=mode,
            scale=scale,
            device=device,
            tolerance=_tolerance(spec),
        )
        yield work.group(spec.paths, peer_cells(spec.peers, work))


def _model_groups(spec: BenchSpec, name: str, device: str) -> Iterator[Group]:
    sizes = [
        shape_of(batch, length, dtype)
        for found in spec.every_shape()
        for batch, length, dtype in product(found.batch, found.length, found.dtype)
    ]
    for shape in dict.fromkeys(sizes):
        oracle = ModelOracle(
            spec.models[name],
            shape,
            _tolerance(spec),
            against=spec.check.against,
            device=device,
        )
        for mode in spec.modes:
            bench = ModelBench(
                name=name,
                spec=spec.models[name],
                shape=shape,
                mode=mode,
                oracle=oracle,
                device=device,
                peers=spec.peers,
            )
            yield bench.group(spec.paths)


def rule_shapes(sizes: ShapesSpec) -> Iterator[Shape]:
    """Every combination of the sizes."""
    each = product(sizes.batch, sizes.length, sizes.heads, sizes.width, sizes.dtype)
    for batch, length, heads, width, dtype in each:
        yield Shape(batch=batch, length=length, heads=heads, width=width, dtype=dtype)


def _tolerance(spec: BenchSpec) -> float | None:
    return None if spec.check.tolerance == "auto" else spec.check.tolerance


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a bench is: cells done, in all, and what comes next."""

    done: int
    total: int
    text: str


def run_bench(
    spec: BenchSpec, watch: Callable[[Progress], None] = lambda progress: None
) -> Iterator[tuple[Row, dict[str, Any]]]:
    """The rows of a bench as soon as their group is measured, each with what it was measured on.

    The peaks of every precision are measured first, on the same device.

    Args:
        spec: the bench.
        watch: told before every cell and every group's times.

    Raises:
        SpecError: the device is not there.
    """
    device = pick_device(spec.device).type
    everything = tuple(subjects(spec, device))
    groups = [group for _, found in everything for group in found]
    dtypes: list[Dtype] = [group.shape.dtype for group in groups]
    peaks = {dtype: _peak(dtype, device) for dtype in dict.fromkeys(dtypes)}
    known = {dtype: asdict(peak) for dtype, peak in sorted(peaks.items())}
    about = stamp(device, peaks=known, empty_cache=spec.empty_cache)
    total, done = sum(len(group.cells) for group in groups), 0
    for _, groups in everything:
        with compile_cache(spec.empty_cache):
            for group in groups:
                rows = measure_group(
                    group,
                    device=device,
                    peak=peaks[group.shape.dtype],
                    baseline=spec.baseline,
                    repeats=spec.repeats,
                    warmup=spec.warmup,
                    say=_sayer(watch, done, total),
                )
                done += len(rows)
                yield from ((row, about) for row in rows)


def _peak(dtype: Dtype, device: str) -> Peak:
    sync = torch.cuda.synchronize if device == "cuda" else nothing
    return measure_peak(dtype=DTYPES[dtype], device=device, repeats=5, sync=sync)


def _sayer(watch: Callable[[Progress], None], done: int, total: int) -> Callable[[str, int], None]:
    def say(text: str, ready: int) -> None:
        watch(Progress(done=done + ready, total=total, text=text))

    return say
