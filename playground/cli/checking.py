"""What is looked at before anything runs; `check`, `sweep` and `search` refuse the same."""

from collections.abc import Iterable, Mapping
from typing import Any

from playground.errors import LoweringError, SpecError
from playground.spec import RangeSpec, RunSpec, SearchSpec, SweepRun, SweepSpec, Text
from playground.spec.search import SCORE
from playground.spec.sweep import ReportSpec
from playground.tasks import DATA_VARIABLE
from playground.tasks.corpora import without_test
from playground.tasks.data_files import missing_data
from playground.tasks.score_names import metrics_of

TUNED, CHOSEN = "values would be tuned on it", "candidates would be chosen by it"

Missing = list[dict[str, str]]


def check_variants(runs: Iterable[SweepRun]) -> None:
    """Refuse variants whose weights could not be scored as they ask.

    Raises:
        SpecError: an override of `evaluate` that fits no weights.
    """
    from playground.train.under import check_evaluations

    for spec in {(run.variant, run.at): run.spec for run in runs}.values():
        check_evaluations(spec)


def check_metrics(sweep: SweepSpec) -> None:
    """Refuse to tune by, or to report, what no run will have.

    Raises:
        SpecError: naming the metric and those near it.
    """
    known = {one.name: _of_all(map(metrics_of, one.places.values())) for one in sweep.checked}
    if sweep.tune is not None:
        _check_select(sweep.tune.select, known)
    every = [names for names in known.values() if names is not None]
    asked = sweep.report.metrics
    if asked == ReportSpec().metrics or len(every) < len(known):  # those of text, for any task
        return
    allowed = frozenset[str]().union(*every)
    for metric in asked:
        if metric not in allowed:
            raise SpecError("report.metrics", f"no run has {metric!r}.", allowed, metric)


def _of_all(places: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """What there is at every place; None where one does not say."""
    found = list(places)
    known = [names for names in found if names is not None]
    return known[0].intersection(*known[1:]) if len(known) == len(found) else None


def _check_select(select: str, known: Mapping[str, frozenset[str] | None]) -> None:
    for variant, names in known.items():
        if names is not None and select not in names:
            problem = f"no run of {variant!r} has {select!r}."
            scores = [name for name in names if name.startswith("val/")]
            raise SpecError("tune.select", problem, scores, select)


def check_tuned(sweep: SweepSpec, runs: Iterable[SweepRun]) -> int:
    """Refuse a tuning that could not begin; how many runs its grids take before they grow.

    Raises:
        SpecError: a value that a variant cannot take, or data without a test part of its own.
    """
    from search.tune import check_grid

    if sweep.tune is None:
        return 0
    by_name = {(run.variant, run.at): run for run in runs}
    for run in by_name.values():
        check_own_test(run.spec, TUNED)
    return check_grid(sweep, list(by_name.values()))


def check_search(spec: SearchSpec) -> list[list[RunSpec]]:
    """Refuse a search whose rungs cannot be made or scored; the runs of every rung, by task.

    Raises:
        SpecError: naming the rung, the score, or the split.
    """
    from search.suites import at_rung

    check_own_test(spec.first(), CHOSEN)
    rungs: list[list[RunSpec]] = []
    for at in range(len(spec.trained)):
        rungs.append([runs[0] for runs in at_rung(spec.first(), spec.trained, at)])
        for run in rungs[-1]:
            names = metrics_of(run)
            if names is not None and spec.quality not in (*names, f"val/{SCORE}"):
                problem = f"no run of task {run.task.kind} has it, and rung {at + 1} is of that."
                scores = [name for name in names if name.startswith("val/")]
                path = f"objectives.{spec.quality}"
                raise SpecError(path, problem, [*scores, f"val/{SCORE}"], spec.quality)
    return rungs


def check_own_test(run: RunSpec, why: str) -> None:
    """Refuse a text whose test part is its val part, as far as that shows without reading it.

    Raises:
        SpecError: saying why that part is needed.
    """
    from search.job import no_own_test

    task = run.task
    if isinstance(task, Text) and without_test(task.corpus, task.split):
        raise no_own_test(why)


def missing_of(runs: Iterable[RunSpec]) -> Missing:
    """Files and folders of data that are not here; a spec is right without them."""
    tasks = dict.fromkeys(run.task for run in runs)
    named = (pair for task in tasks for pair in missing_data(task).items())
    return [{"field": f"task.{field}", "name": name} for field, name in dict.fromkeys(named)]


def refused_here(runs: Iterable[RunSpec]) -> str:
    """Why this machine would not carry out one of the runs; "" if it would.

    A spec is right all the same: it may be for another machine.
    """
    from playground.compile import Target, make_plan
    from playground.train import pick_device

    for run in runs:
        if run.lowering == "auto" and run.device in ("auto", "cpu"):
            continue
        try:
            place = str(pick_device(run.device))
            target = Target.of(place, compile=run.compile, mode=run.run.compile_mode)
            make_plan(run.model, target, lowering=run.lowering)
        except (SpecError, LoweringError) as error:
            return " ".join(str(error).split())
    return ""


def lacking(runs: Iterable[RunSpec]) -> dict[str, Any]:
    """What runs need and is not here, for `say_lacking` and as JSON."""
    specs = list(runs)
    return {"missing_data": missing_of(specs), "refused_here": refused_here(specs)}


def say_lacking(found: Mapping[str, Any]) -> None:
    """Print what is not here, if anything."""
    if missing := found["missing_data"]:
        named = ", ".join(f"{one['field']} {one['name']}" for one in missing)
        print(f"data that is not here, nor under ${DATA_VARIABLE}: {named}")
        print("docs/data.md says where public data comes from")
    if why := found.get("refused_here"):
        print(f"not on this machine: {why}")


def space_of(spec: SearchSpec) -> dict[str, str]:
    """What a search varies, by key, for people."""
    return {key: _range(one) for key, one in spec.space.items()}


def _range(one: Any) -> str:
    if not isinstance(one, RangeSpec):
        return ", ".join(map(str, one))
    if one.sequence:
        limits = "".join(f"; {s} {low} to {high} times" for s, (low, high) in one.limit.items())
        return f"{one.length} layers of {', '.join(one.sequence)}{limits}"
    low, high = one.ends()
    return f"{low:g} to {high:g}{', by factors' if one.log else ''}"
