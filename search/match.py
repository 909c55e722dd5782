"""Variants made as large as the baseline: in parameters, FLOPs per token or state bytes.

A variant whose size differs by more than the tolerance gets another value of one field, found by
the secant method on its costs. Where no value does, the variant stays as it is and the report says
that it is not matched.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import playground as pg

STEPS = 12  # evaluations per variant; sizes are almost straight lines in most fields
RANGE = 16.0  # the field moves at most this factor from what was written
DIGITS = 4
NEAR = 16  # how far from a whole number that a model cannot have another is looked for
_SIZES: Mapping[str, Callable[[pg.RunSpec], float]] = {
    "params": lambda run: pg.params_of_spec(run.model),
    "flops": lambda run: pg.costs_of_run(run).flops_per_token,
    "state": lambda run: pg.costs_of_run(run).state_bytes,
}


@dataclass(frozen=True, kw_only=True)
class Matched:
    """How a variant's size compares with the baseline's.

    Attributes:
        size: params, flops or state.
        ratio: variant over baseline, after matching.
        value: of the field that was changed; None where it was left alone.
        ok: within the tolerance.
    """

    size: str
    ratio: float
    value: float | int | None
    ok: bool


def matched(
    runs: Sequence[pg.SweepRun], spec: pg.MatchSpec
) -> tuple[list[pg.SweepRun], dict[str, Matched]]:
    """The runs with matched models, and how well each variant is matched.

    Args:
        runs: from `SweepSpec.expand`, the baseline's first.
        spec: what to match, how closely, by which field.

    Raises:
        SpecError: no variant has such a field.
    """
    starts = (_get(model, spec.by.split(".")) for model in {run.spec.model for run in runs})
    if not any(map(_can_change, starts)):
        fix = "Name a field of the model with a number above 0, such as block.feedforward.expand."
        raise pg.SpecError("match.by", f"{spec.by!r} is none of any variant.", fix=fix)
    _check_differ(runs, spec.by.split("."))
    measure = _SIZES[_size(spec)]
    targets: dict[str, float] = {}  # by place
    models: dict[tuple[str, str], pg.ModelSpec] = {}
    found: dict[str, Matched] = {}
    firsts = {(run.variant, run.at): run for run in reversed(runs)}
    for variant in dict.fromkeys(run.variant for run in runs):
        here = [firsts[key] for key in reversed(firsts) if key[0] == variant]
        targets = targets or {run.at: measure(run.spec) for run in here}  # of the baseline
        fits = [_matched(run.spec, targets[run.at], spec) for run in here]
        if not all(fit.ok for _, fit in fits):  # half a match would be neither here nor there
            fits = [_as_written(run.spec, targets[run.at], spec) for run in here]
        models |= {(variant, r.at): model for r, (model, _) in zip(here, fits, strict=True)}
        found[variant] = max((fit for _, fit in fits), key=lambda fit: abs(fit.ratio - 1))
    fitted = [
        replace(run, spec=replace(run.spec, model=models[run.variant, run.at])) for run in runs
    ]
    return fitted, found


def _as_written(run: pg.RunSpec, wanted: float, spec: pg.MatchSpec) -> tuple[pg.ModelSpec, Matched]:
    size = _size(spec)
    ratio = _SIZES[size](run) / wanted
    ok = abs(ratio - 1) <= float(getattr(spec, size))
    return run.model, Matched(size=size, ratio=ratio, value=None, ok=ok)


def _matched(run: pg.RunSpec, wanted: float, spec: pg.MatchSpec) -> tuple[pg.ModelSpec, Matched]:
    """The model of one run in the size that is wanted, or as it is where no value does it."""
    model, written = _as_written(run, wanted, spec)
    if written.ok:
        return model, written
    measure, tolerance = _SIZES[written.size], float(getattr(spec, written.size))
    model, ratio, value = _fitted(
        model, spec.by, lambda m: measure(replace(run, model=m)) / wanted, written.ratio
    )
    if abs(ratio - 1) > tolerance:
        return run.model, written
    return model, replace(written, ratio=ratio, value=value, ok=True)


def _size(spec: pg.MatchSpec) -> str:
    """What is matched."""
    return next(name for name in _SIZES if getattr(spec, name) is not None)


def _check_differ(runs: Sequence[pg.SweepRun], path: Sequence[str]) -> None:
    """Refuse variants that differ in the field that is matched by alone: they become one model."""
    seen: dict[pg.RunSpec, str] = {}
    value = next(v for v in (_get(run.spec.model, path) for run in runs) if _can_change(v))
    for run in runs:
        spec = run.spec
        if _can_change(_get(spec.model, path)):
            with suppress(pg.SpecError):  # such as a width that its heads do not divide
                spec = replace(spec, model=_set(spec.model, path, value))
        same = seen.setdefault(spec, run.variant)
        if same != run.variant:
            problem = f"it differs from {same!r} in {'.'.join(path)} alone, and sizes are matched."
            fix = "Remove the variant, or match by another field."
            raise pg.SpecError(f"variants.{run.variant}", problem, fix=fix)


def _fitted(
    model: pg.ModelSpec, path: str, ratio_of: Callable[[pg.ModelSpec], float], ratio: float
) -> tuple[pg.ModelSpec, float, float | int | None]:
    """The nearest model that differs in one field, its ratio and the field's value."""
    start = _get(model, path.split("."))
    if not _can_change(start):
        return model, ratio, None
    best = (model, ratio, None)
    low, high = start / RANGE, start * RANGE
    before, at = (float(start), ratio), float(start) * (1.25 if ratio < 1 else 0.8)
    tried = {start}
    for _ in range(STEPS):
        value = round(at) if isinstance(start, int) else round(at, DIGITS)
        if value in tried:
            break
        tried.add(value)
        made = _made(model, path, value, ratio_of)
        if made is None:
            break
        changed, value, now = made
        tried.add(value)
        if abs(now - 1) < abs(best[1] - 1):
            best = (changed, now, value)
        step = 2.0 * (value - before[0])  # widths are whole numbers: sizes have steps
        if now != before[1]:
            step = (1 - now) * (value - before[0]) / (now - before[1])
        before, at = (float(value), now), min(high, max(low, value + step))
    return best


def _made(
    model: pg.ModelSpec, path: str, value: float, ratio_of: Callable[[pg.ModelSpec], float]
) -> tuple[pg.ModelSpec, float, float] | None:
    """The model with that value or the nearest whole number that it can have, and its ratio."""
    near = [0] if isinstance(value, float) else sorted(range(-NEAR, NEAR + 1), key=abs)
    for step in near:
        try:
            changed = _set(model, path.split("."), value + step)
            return changed, value + step, ratio_of(changed)
        except (pg.PlaygroundError, ValueError):  # such as a width that heads do not divide
            continue
    return None


def _can_change(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _get(spec: Any, path: Sequence[str]) -> Any:
    """The value of a dotted field; None where there is no such field."""
    for name in path:
        if not is_dataclass(spec) or name not in {f.name for f in fields(spec)}:
            return None
        spec = getattr(spec, name)
    return spec


def _set(spec: Any, path: Sequence[str], value: object) -> Any:
    """The same spec with another value of a dotted field; its checks are made again."""
    name, *rest = path
    return replace(spec, **{name: _set(getattr(spec, name), rest, value) if rest else value})
