"""The variants of a sweep: overrides on the base, products, checks that all differ."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import cast

from memory_rules import AbstractGradientRule
from playground.errors import SpecError
from playground.spec.canonical import to_dict
from playground.spec.conflicts import check_disjoint, check_free
from playground.spec.convert import convert
from playground.spec.ends import given_by
from playground.spec.merge import apply, find, is_path, resolve
from playground.spec.model import ModelSpec
from playground.spec.raw import Raw, is_mapping
from playground.spec.run import RunSpec, Scalar
from playground.spec.search import SearchSpec
from playground.spec.sweep import SweepSpec, VariantSpec, Written


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One variant with its runs at the first seed, one for every place of `across`."""

    name: str
    path: str  # where it is written, for errors
    places: Mapping[str, RunSpec]  # by what is set there: "task.fold=1"; "" without `across`
    dropped: tuple[str, ...]

    @property
    def spec(self) -> RunSpec:
        """At the first place."""
        return next(iter(self.places.values()))


def check(sweep: SweepSpec) -> list[Checked]:
    """The variants of a sweep, the baseline first; all can be built and all differ.

    Raises:
        SpecError: naming the variant and the key.
    """
    named = dict(sweep.variants)
    listed = sweep.baseline in named
    baseline = named.pop(sweep.baseline, VariantSpec())
    first = _variant(sweep, sweep.baseline, baseline, {}, at="variants" if listed else "base")
    singles = [_variant(sweep, name, variant, {}) for name, variant in named.items()]
    _check_differ([first, *singles])
    if not (sweep.grid or sweep.zip):
        return [first, *singles]
    found = [first]
    for alone, variant in zip([first, *singles], [baseline, *named.values()], strict=True):
        at = _at_points(sweep, alone, variant)
        found += at if alone is not first else [one for one in at if one is not alone]
    _check_differ(found)
    return found


def _at_points(sweep: SweepSpec, alone: Checked, variant: VariantSpec) -> list[Checked]:
    """A variant at every point of the grid; its own place there keeps the plain name."""
    model, found = _model(sweep, variant), list[Checked]()
    for point in _points(sweep):
        at = _variant(sweep, alone.name, variant, point, at=_axes(sweep), model=model)
        label = _label(point)
        if at.places != alone.places:
            named = sweep.variants.keys() - {sweep.baseline}
            found.append(replace(at, name=f"{alone.name}, {label}" if named else label))
        elif alone in found:
            problem = f"{label} is there twice."
            raise SpecError(_axes(sweep), problem, fix="Remove one of the two.")
        else:
            found.append(alone)
    return found


def _points(sweep: SweepSpec) -> Iterator[Written]:
    """What is set together at every point: the product of the grid and the rows of the zip."""
    rows = [dict(zip(sweep.zip, row, strict=True)) for row in zip(*sweep.zip.values(), strict=True)]
    for point in _products(sweep.grid):
        yield from ({**point, **row} for row in rows or [{}])


def _products(axes: Mapping[str, tuple[Scalar, ...]]) -> Iterator[Written]:
    """Every combination of the values; one empty one of no axes."""
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _label(point: Written) -> str:
    return ", ".join(f"{key}={value}" for key, value in point.items())


def _check_differ(variants: list[Checked]) -> None:
    seen: dict[object, Checked] = {}
    for variant in variants:
        same = seen.setdefault(tuple(map(_computed, variant.places.values())), variant)
        if same is not variant:
            baseline = "its baseline" if same is variants[0] else "the variant"
            problem = f"it is equal to {baseline} {same.name!r}."
            fix = "Change one of its values or remove it."
            raise SpecError(variant.path, problem, fix=fix)


def _computed(run: RunSpec) -> object:
    """Equal for runs whose layers are equal, however a pattern writes them."""
    blocks = run.model.blocks()
    return blocks, replace(run, model=replace(run.model, layers=None, block=blocks[0]))


def _variant(
    sweep: SweepSpec,
    name: str,
    variant: VariantSpec,
    point: Written,
    at: str = "variants",
    model: tuple[Raw, tuple[str, ...]] | None = None,
) -> Checked:
    """A variant at a point of the grid; model: what `_model` gives for it, if that is known."""
    run = _shared(sweep)
    run["model"], dropped = model or _model(sweep, variant)
    path = f"variants.{name}" if at == "variants" else at
    places: dict[str, RunSpec] = {}
    for place in _products(sweep.across):
        here = {**point, **place}
        try:
            spec = _run(sweep, run, variant, here, path)
        except SpecError:
            if place and _fits(sweep, run, variant, point, path):
                spec = _run(sweep, run, variant, here, "across")  # the error, said of the place
            raise
        same = next((label for label, other in places.items() if other == spec), None)
        if same is not None:
            problem = f"{_label(place)} is the same run as {same}."
            raise SpecError("across", problem, fix="Remove one of the two.")
        places[_label(place)] = spec
    return Checked(name=name, path=path, places=places, dropped=dropped)


def _run(sweep: SweepSpec, run: Raw, variant: VariantSpec, point: Written, path: str) -> RunSpec:
    """The run of a variant at a point and a place; path: where the variant is written."""
    overrides = dict(flat({**variant.overrides, **point}))
    try:
        keys = [*(key for key, _ in flat(variant.overrides)), *point]
        check_disjoint(RunSpec, run, keys, below="model", among="the same variant")
        if "seed" in overrides:
            raise SpecError("seed", "the seeds are those of the sweep.", fix="Write seeds: [...].")
        check_free(sweep, run, overrides)
        spec = convert(RunSpec, apply(RunSpec, run, overrides.items(), below="model"))
        check_steps(spec)
        return spec
    except SpecError as error:
        if error.path.startswith("tune."):
            raise
        own = SpecError(
            error.path.removeprefix("model."),
            error.problem,
            error.allowed,
            error.found,
            error.fix,
            error.file,
        )
        raise own.under(_written(sweep, own.path, point) or path) from None


def _fits(sweep: SweepSpec, run: Raw, variant: VariantSpec, point: Written, path: str) -> bool:
    try:
        _run(sweep, run, variant, point, path)
    except SpecError:
        return False
    return True


def _written(sweep: SweepSpec, path: str, point: Written) -> str:
    """Which axes of the sweep have the key of a point that an error is of; "" for none."""
    keys = [key for key in point if f".{path}".endswith(f".{key}")]
    axes = {"zip": sweep.zip, "across": sweep.across, "grid": sweep.grid}
    return next((name for name, of in axes.items() for key in keys if key in of), "")


def _axes(sweep: SweepSpec) -> str:
    """What points are made of."""
    return "zip" if sweep.zip else "grid"


def _shared(spec: SweepSpec | SearchSpec) -> Raw:
    """What all runs of a spec have in common but their model."""
    run: Raw = {"task": to_dict(spec.task), "train": to_dict(spec.train)}
    names = ("device", "dtype", "lowering", "compile")
    names += ("evaluate",) if isinstance(spec, SweepSpec) else ()
    return run | {key: getattr(spec, key) for key in names}


def _model(sweep: SweepSpec, variant: VariantSpec) -> tuple[Raw, tuple[str, ...]]:
    """The model as written before the variant's own overrides, and the base's that do not apply."""
    overrides = list(flat(sweep.base.overrides))
    base = dict(sweep.base.extends)
    try:
        check_disjoint(ModelSpec, base, (key for key, _ in overrides), among="the base")
        whole = apply(ModelSpec, base, overrides)
        convert(ModelSpec, whole)
    except SpecError as error:
        raise error.under("base") from None
    if variant.extends is None:
        return whole, ()
    model = dict(variant.extends)
    full = [(resolve(ModelSpec, whole, key), value) for key, value in overrides]
    dropped = tuple(key for key, _ in full if not is_path(ModelSpec, model, key))
    return apply(ModelSpec, model, [o for o in full if o[0] not in dropped]), dropped


def run_of(spec: SearchSpec) -> RunSpec:
    """The base of a search as a run."""
    run, overrides = _shared(spec), list(flat(spec.base.overrides))
    base = dict(spec.base.extends)
    try:
        check_disjoint(ModelSpec, base, (key for key, _ in overrides), among="the base")
        run["model"] = apply(ModelSpec, base, overrides)
    except SpecError as error:
        raise error.under("base") from None
    every = [run, *_of_all_kinds(run, spec)]
    for key in spec.space:
        tried = [find(RunSpec, raw, key, below="model") for raw in every]
        if isinstance(tried[0], SpecError) and not any(isinstance(one, str) for one in tried):
            raise tried[0].under("space")
    for raw in every:
        fitting_here = [
            k for k in spec.space if isinstance(find(RunSpec, raw, k, below="model"), str)
        ]
        try:
            check_disjoint(RunSpec, raw, fitting_here, below="model", among="the space")
        except SpecError as error:
            raise error.under("space") from None
    first = convert(RunSpec, run)
    if first.model.reads.kind != "tokens":
        problem = f"the model reads {first.model.reads.kind}; a search is of models of tokens."
        raise SpecError("base", problem, fix="Compare variants with a sweep.")
    return first


def fitting(run: RunSpec, values: Written) -> dict[str, object]:
    """Those of `values` that the run has a field for, once it is of the kinds among them.

    So in a space with several kinds of rule a candidate has the fields of its own rule only.

    Args:
        run: what they are put into; not changed.
        values: dotted key -> value, as for `override`.

    Raises:
        SpecError: a key that matches several fields.
    """
    raw = _with_kinds(to_dict(run), values)
    fits = (key for key in values if isinstance(find(RunSpec, raw, key, below="model"), str))
    return {key: values[key] for key in fits}


def _of_all_kinds(run: Raw, spec: SearchSpec) -> Iterator[Raw]:
    """A run of every combination of kinds in the space of a search."""
    kinds = {k: one for k, one in spec.space.items() if _is_kind(k) and isinstance(one, tuple)}
    for values in itertools.product(*kinds.values()):
        yield _with_kinds(run, dict(zip(kinds, values, strict=True)))


def _with_kinds(run: Raw, values: Written) -> Raw:
    """The run of the kinds among the values; a kind of what another kind left out is passed by."""
    kinds = [key for key in values if _is_kind(key)]
    for key in sorted(kinds, key=lambda key: key.count(".")):
        if isinstance(find(RunSpec, run, key, below="model"), str):
            run = apply(RunSpec, run, [(key, values[key])], below="model")
    return run


def _is_kind(key: str) -> bool:
    return key.rpartition(".")[2] == "kind"


def override(run: RunSpec, values: Written) -> RunSpec:
    """The same run with other values.

    Args:
        run: what they are put into; not changed.
        values: dotted key -> value; a key as on the command line, such as `train.optim.lr`.

    Raises:
        SpecError: a key that matches nothing, or a value that it cannot have.
    """
    written = to_dict(run, defaults=False)  # another kind has defaults of its own
    reads = cast(Raw, cast(Raw, written["model"]).get("reads", {}))
    for size in given_by(run.task).keys() - {"kind"}:  # the task says them, and it may change
        reads.pop(size, None)
    return convert(RunSpec, apply(RunSpec, written, values.items(), below="model"))


def evaluations(run: RunSpec) -> dict[str, RunSpec]:
    """The runs whose model and task `run.evaluate` asks for, by name: "chunk_size=8".

    Raises:
        SpecError: an override of anything but the model and the task, or two of one name.
    """
    found: dict[str, RunSpec] = {}
    for i, values in enumerate(run.evaluate):
        path = f"evaluate.{i}"
        name = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())
        try:
            other = override(run, values)
        except SpecError as error:
            raise error.under(path) from None
        if not values or replace(other, model=run.model, task=run.task) != run:
            fix = "Write for example {task.length: 1024}."
            raise SpecError(path, "it overrides more or less than model and task.", fix=fix)
        if name in found:
            raise SpecError(path, f"{name!r} is there twice.", fix="Remove one.")
        found[name] = other
    return found


def check_steps(run: RunSpec) -> None:
    """Refuse evaluations with another largest step, before training: gates are parts of it.

    Raises:
        SpecError: naming the override, or what is wrong with it at all.
    """
    for i, other in enumerate(evaluations(run).values()):
        check_step(run.model, other.model, f"evaluate.{i}")


def check_step(own: ModelSpec, other: ModelSpec, where: str) -> None:
    """Refuse to read trained weights with another largest step.

    Args:
        own: the model as it was trained.
        other: as it is to be read.
        where: that was written, for the error.

    Raises:
        SpecError: a rule has another largest step.
    """
    for before, after in zip(_rules(own), _rules(other), strict=False):
        trained, found = (r.gates["lr"].high if "lr" in r.gates else 0 for r in (before, after))
        if type(before) is type(after) and trained != found:
            problem = f"makes the largest step {found:.4g}; weights are trained for {trained:.4g}."
            fix = f"Add max_lr: {before.lr_limit!r} to it."
            raise SpecError(where, problem, fix=fix)


def _rules(spec: object) -> Iterator[AbstractGradientRule]:
    """The rules that descend an objective, wherever they are in a model."""
    if isinstance(spec, AbstractGradientRule):
        yield spec
    elif is_mapping(spec):
        for below in spec.values():
            yield from _rules(below)
    elif is_dataclass(spec):
        for item in fields(spec):
            yield from _rules(getattr(spec, item.name))


def flat(overrides: Written, above: str = "") -> Iterator[tuple[str, object]]:
    """Overrides as dotted keys and plain values, however deep they were written."""
    for key, value in overrides.items():
        path = f"{above}.{key}".lstrip(".")
        if is_mapping(value) and value:
            yield from flat(value, path)
        else:
            yield path, value
