"""A sweep as tables: one row per variant, and one row per run."""

from collections.abc import Callable, Iterable
from itertools import compress, islice
from statistics import median

from playground.report import text
from playground.report.places import family, of_a_grid
from playground.report.stats import (
    TOO_SMALL,
    Paired,
    Verdict,
    direction,
    summarize,
)
from playground.report.sweep import Run, Sweep, Variant, mean_of
from playground.report.table import Cell, Column, Table, Tone

SPEED = "tokens_per_s"
SOLVED = 0.99  # accuracy
FLOOR_METRICS = ("test/loss", "val/loss")  # what a floor in nats per token is compared with
_TONES: dict[Verdict, Tone] = {"better": "good", "worse": "bad", "unclear": ""}
_DELTA = "\u0394"


def comparison(sweep: Sweep) -> Table:
    """Every variant: how many runs count, how good, how different, what it costs."""
    shown = [metric for metric in sweep.metrics if metric != SPEED]
    columns = [Column(title="variant", left=True), Column(title="ok", about="runs that count")]
    columns += [
        Column(
            title=_title(metric), about="mean and sd over seeds", optional=metric != sweep.primary
        )
        for metric in shown
    ]
    if len(sweep.places) > 1:
        about = "seeds with all their places, which means and pairs are of"
        columns.insert(2, Column(title="seeds", about=about))
    if sweep.compared:
        columns += [_difference_column(sweep), *_test_columns(sweep)]
    if sweep.floor:
        about = "runs with a loss below what needs no model"
        columns.append(Column(title=_floor_title(sweep), about=about))
    about = (
        f"runs with a test accuracy of {SOLVED} or more, and the median step at which val had it"
    )
    columns += [
        Column(title="solved", about=about, optional=True),
        Column(title="params", optional=True),
        Column(title="/ base", about="parameters relative to the baseline", optional=True),
        Column(title="state", about="bytes that one sequence carries", optional=True),
        Column(title="FLOPs/token", about="forward", optional=True),
        Column(title="tokens/s", about="in training", optional=True),
        Column(title="tokens", about="seen in training", optional=True),
    ]
    rows = [_row(sweep, variant, shown) for variant in sweep.variants]
    said = [any(row[i].text != text.NONE for row in rows) for i in range(len(columns))]
    return Table(  # such as the speed of runs that were trained together: nobody's own
        title=sweep.name,
        columns=tuple(compress(columns, said)),
        rows=tuple(tuple(compress(row, said)) for row in rows),
    )


def crossed(sweep: Sweep, first: str) -> Table | None:
    """The primary metric of every variant at every place of a grid; None where there is no grid.

    Args:
        sweep: its variants at other places than the first are named `delta, heads=4`.
        first: the title of the place whose variants have no such ending.
    """
    names = [variant.name for variant in sweep.variants]
    if not of_a_grid(names):
        return None
    own = {name: family(name, names) for name in names}
    places = {name: name.removeprefix(own[name]).removeprefix(", ") or first for name in names}
    cells = {(own[v.name], places[v.name]): _metric_cell(v, sweep.primary) for v in sweep.variants}
    titles = [*dict.fromkeys(places.values())]
    missing = Cell(text=text.NONE, tone="muted")
    rows = [
        (Cell(text=name), *(cells.get((name, title), missing) for title in titles))
        for name in dict.fromkeys(own.values())
    ]
    columns = (Column(title=sweep.primary, left=True), *(Column(title=t) for t in titles))
    return Table(title=sweep.name, columns=columns, rows=tuple(rows))


def by_place(sweep: Sweep) -> list[Table]:
    """A table for each metric where there are several places: the variants at every one."""
    shown = [metric for metric in sweep.metrics if metric != SPEED]
    return [_by_place(sweep, metric) for metric in shown] if len(sweep.places) > 1 else []


def _by_place(sweep: Sweep, metric: str) -> Table:
    """Every variant at every place, and its mean over them; under them what needs no model."""
    places = sweep.places
    rows: list[tuple[Cell, ...]] = [
        (Cell(text=v.name), *(_metric_cell(one, metric) for one in (*map(v.at, places), v)))
        for v in sweep.variants
    ]
    floors: dict[str, dict[str, set[float]]] = {}
    for run in sweep.runs():
        for name, value in run.floors_of(metric).items():
            floors.setdefault(name, {}).setdefault(run.at, set()).add(value)
    for name, at_places in floors.items():
        if all(len(values) == 1 for values in at_places.values()):  # of all variants alike
            values = [min(at_places[at]) if at in at_places else None for at in places]
            shown = (text.NONE if v is None else text.number(v) for v in (*values, mean_of(values)))
            rows.append(tuple(Cell(text=word, tone="muted") for word in (name, *shown)))
    key, titles = text.headings(places)
    columns = (Column(title=key, left=True), *(Column(title=t) for t in (*titles, "mean")))
    return Table(title=f"{sweep.name}: {metric} at every place", columns=columns, rows=tuple(rows))


def _difference_column(sweep: Sweep) -> Column:
    about = f"{sweep.primary} minus that of {sweep.baseline}{sweep.where}, paired by seed"
    if sweep.test != "none" and sweep.correct == "holm":
        about += "; an interval is of one difference alone, tests are corrected for their number"
    return Column(title=f"{_DELTA} {sweep.primary} [95 %]", about=about)


def _test_columns(sweep: Sweep) -> list[Column]:
    if sweep.test == "none":
        return []
    how, name = "corrected for the number of variants (Holm)", "p (Holm)"
    if sweep.correct == "none":
        how, name = "not corrected for the number of variants", "p"
    about = f"exact sign-flip test of the same, {how}, where n lets it speak for so many"
    return [
        Column(title=name, about=f"paired t test, {how}", optional=True),
        Column(title="sign flip", about=about, optional=True),
    ]


def _row(sweep: Sweep, variant: Variant, shown: list[str]) -> tuple[Cell, ...]:
    is_base = sweep.base_of(variant) is variant
    good, planned = variant.counted(sweep.primary), len(variant.runs)
    cells = [
        Cell(text=variant.name, values={"variant": variant.name}, tone="strong" if is_base else ""),
        Cell(
            text=f"{good}/{planned}",
            values={"n_ok": good, "n": planned},
            tone="" if good == planned else "bad",
        ),
    ]
    if len(sweep.places) > 1:
        whole = len(variant.values(sweep.primary))
        seeds = len({run.seed for run in variant.runs})
        cells.append(Cell(text=f"{whole}/{seeds}", values={"whole seeds": whole, "seeds": seeds}))
    cells += [_metric_cell(variant, metric) for metric in shown]
    if sweep.compared:
        cells.append(_difference_cell(sweep, variant))
    if sweep.compared and sweep.test != "none":
        tested = sweep.tests.get(variant.name)
        cells.append(_p_cell(sweep, variant, "p", tested and tested.p))
        cells.append(_p_cell(sweep, variant, "sign flip", tested and tested.flip))
    if sweep.floor:
        cells.append(_floor_cell(sweep, variant))
    return (*cells, _solved_cell(variant), *_cost_cells(sweep, variant))


def _metric_cell(variant: Variant, metric: str) -> Cell:
    summary = summarize(variant.values(metric).values())
    if summary is None:
        return Cell(text=text.NONE, tone="muted")
    values = {f"{metric} mean": summary.mean, f"{metric} sd": summary.sd}
    return Cell(text=text.spread(summary.mean, summary.sd), values=values)


def _difference_cell(sweep: Sweep, variant: Variant) -> Cell:
    if sweep.base_of(variant) is variant:
        return Cell(text="baseline", tone="muted")
    found = sweep.difference(variant)
    if found is None:
        return Cell(text="no pairs", tone="muted")
    values: dict[str, float | int | str | None] = {
        f"{sweep.primary} difference": found.mean,
        f"{sweep.primary} low": found.low,
        f"{sweep.primary} high": found.high,
        "pairs": found.n,
        "p uncorrected": found.p,
    }
    tone = _TONES[sweep.verdict(variant)]
    return Cell(text=difference_text(found), values=values, tone=tone)


def _p_cell(sweep: Sweep, variant: Variant, name: str, p: float | None) -> Cell:
    if sweep.base_of(variant) is variant:
        return Cell(text=text.NONE, tone="muted")
    name = name if sweep.correct == "none" else f"{name} holm"
    shown = TOO_SMALL if p is None else text.probability(p)
    return Cell(text=shown, values={name: p}, tone="muted" if p is None else "")


def difference_text(found: Paired) -> str:
    """`+0.0123 [+0.0100, +0.0146]`."""
    mean = text.number(found.mean, signed=True)
    if found.low is None or found.high is None:
        return f"{mean} [{TOO_SMALL}]"
    ends = ", ".join(text.number(end, signed=True) for end in (found.low, found.high))
    return f"{mean} [{ends}]"


def below_floor(sweep: Sweep, variant: Variant) -> tuple[int, int] | None:
    """How many of the runs that ended have a loss below their floor; one that failed has not."""
    metric = next((m for m in FLOOR_METRICS if variant.counted(m)), None)
    if metric is None or not any(run.floor for run in variant.over):
        return None
    pairs = ((run.value(metric), run.floor) for run in variant.over)
    below = (loss is not None and floor is not None and loss < floor[1] for loss, floor in pairs)
    return sum(below), len(variant.over)


def _floor_title(sweep: Sweep) -> str:
    """Its name and value, as far as the variants share them; else each has its own in its cell."""
    floors = [variant.floor for variant in sweep.variants if variant.floor is not None]
    if sweep.one_floor:
        return f"below {_floor_words(floors[0])}"
    return f"below {floors[0][0]}" if len({name for name, _ in floors}) < 2 else "below its floor"


def _floor_words(floor: tuple[str, float]) -> str:
    return f"{floor[0]} {text.number(floor[1])}"


def _floor_cell(sweep: Sweep, variant: Variant) -> Cell:
    found = below_floor(sweep, variant)
    if found is None:
        return Cell(text=text.NONE, tone="muted")
    below, n = found
    floor = variant.floor
    values = {} if floor is None else {f"{floor[0]} floor": floor[1]}
    word = "yes" if below == n else "some" if below else "no"
    own = not sweep.one_floor and len(sweep.places) < 2
    return Cell(
        text=f"{word} {below}/{n}" + (f", {_floor_words(floor)}" if floor and own else ""),
        values={**values, "runs below floor": below},
        tone="good" if below == n else "bad",
    )


def _solved_cell(variant: Variant) -> Cell:
    """Where learning is a jump, a mean hides who made it; a run that failed did not."""
    found = [value for run in variant.runs if (value := run.value("test/accuracy")) is not None]
    if not found:
        return Cell(text=text.NONE, tone="muted")
    solved = sum(value >= SOLVED for value in found)
    firsts = (_first_solved(run) for run in variant.runs if run.status == "ok")
    steps = [step for step in firsts if step is not None]
    middle = median(steps) if steps else None
    shown = f"{solved}/{len(variant.over)}" + ("" if middle is None else f" at {middle:.0f}")
    return Cell(text=shown, values={"solved": solved, "steps to solve": middle})


def _first_solved(run: Run) -> float | None:
    """The first step whose accuracy on val was high enough."""
    return next((row["step"] for row in run.curve if row.get("accuracy", 0.0) >= SOLVED), None)


def _cost_cells(sweep: Sweep, variant: Variant) -> list[Cell]:
    params, base = variant.costs("params"), sweep.base.costs("params")
    both = params.keys() & base.keys()
    ratio = sum(params[at] for at in both) / sum(base[at] for at in both) if both else None
    speed = summarize(variant.values(SPEED).values())
    return [
        _cost("params", variant.cost("params"), text.count),
        _cost("params ratio", ratio, lambda value: f"{value:.3f}"),
        _cost("state_bytes", variant.cost("state_bytes"), text.memory),
        _cost("flops_per_token", variant.cost("flops_per_token"), text.count),
        _cost(SPEED, speed.mean if speed else None, text.count),
        _cost(
            "tokens", _mean(run.tokens for run in variant.runs if run.status == "ok"), text.count
        ),
    ]


def _cost(name: str, value: float | None, show: Callable[[float], str]) -> Cell:
    if value is None:
        return Cell(text=text.NONE, tone="muted")
    return Cell(text=show(value), values={name: value})


def _mean(values: Iterable[float | None]) -> float | None:
    summary = summarize(value for value in values if value is not None)
    return summary.mean if summary else None


def _title(metric: str) -> str:
    return metric + {1: " (higher is better)", -1: "", 0: ""}[direction(metric)]


def all_runs(sweep: Sweep, most: int | None = None) -> Table:
    """Every planned run with its seed, status and metrics; `most` keeps the first ones only."""
    columns = (
        Column(title="variant", left=True),
        *([Column(title="place", left=True)] if len(sweep.places) > 1 else []),
        Column(title="seed"),
        Column(title="status", left=True),
        *(Column(title=metric) for metric in sweep.metrics),
        Column(title="seconds"),
        Column(title="fingerprint", left=True),
    )
    rows = tuple(_run_row(sweep, run) for run in islice(sweep.runs(), most))
    return Table(title=f"{sweep.name}: runs", columns=columns, rows=rows)


def run_values(sweep: Sweep, run: Run) -> dict[str, float | int | str | None]:
    """What is known of a run, by name."""
    return {
        "variant": run.variant,
        **({"place": run.at} if run.at else {}),
        "seed": run.seed,
        "status": run.status,
        "reason": run.reason or run.problem(sweep.primary),
        **{metric: run.metrics.get(metric) for metric in sweep.metrics},
        "wall_s": run.wall_s,
        "fingerprint": run.fingerprint,
    }


def _run_row(sweep: Sweep, run: Run) -> tuple[Cell, ...]:
    problem = run.problem(sweep.primary)
    values = (run.metrics.get(metric) for metric in sweep.metrics)
    return (
        Cell(text=run.variant),
        *([Cell(text=run.at)] if len(sweep.places) > 1 else []),
        Cell(text=str(run.seed)),
        Cell(text=problem or "ok", tone="bad" if problem else "good"),
        *(Cell(text=text.NONE if value is None else text.number(value)) for value in values),
        Cell(text=text.NONE if run.wall_s is None else f"{run.wall_s:.0f}"),
        Cell(text=run.fingerprint[:12]),
    )
