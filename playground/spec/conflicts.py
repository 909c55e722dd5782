"""What of a spec may be written in one place only, and what is said of it in two."""

from collections.abc import Iterable

from playground.errors import SpecError
from playground.spec.merge import find
from playground.spec.raw import Raw
from playground.spec.run import RunSpec
from playground.spec.sweep import SweepSpec


def check_disjoint(
    cls: type, raw: Raw, keys: Iterable[str], *, below: str = "", among: str
) -> None:
    """Refuse two keys of one field: which of them counts, nobody sees.

    Args:
        cls: the spec class of `raw`.
        raw: what the keys are put into.
        keys: dotted, as written.
        below: a field whose paths may be written without it, such as "model".
        among: where all of them are written, for the error.

    Raises:
        SpecError: naming the later one.
    """
    keys = list(keys)
    seen: dict[str, str] = {}  # full path, as far as it is known before kinds change -> key
    for key in keys if len(keys) > 1 else ():
        found = find(cls, raw, key, below=below)
        path = found if isinstance(found, str) else key
        for before, other in seen.items():
            if f"{path}.".startswith(f"{before}.") or before.startswith(f"{path}."):
                problem = f"overlaps {other!r} of {among}."
                raise SpecError(key, problem, fix="Write each field once.")
        seen[path] = key


def check_free(sweep: SweepSpec, run: Raw, keys: Iterable[str]) -> None:
    """Refuse a variant's own value for what the sweep finds one for.

    Args:
        sweep: it may tune, and it may match sizes.
        run: what the keys are put into, plain data of a RunSpec.
        keys: dotted, as the variant has them.

    Raises:
        SpecError: the key of a variant, or of the tuning, that has its value from elsewhere.
    """
    found: dict[str | SpecError, tuple[str, str]] = {}
    if sweep.match is not None:
        fix = "Remove it here, or match by another field."
        found[f"model.{sweep.match.by}"] = (
            "every variant gets the value that its size asks for",
            fix,
        )
    tuned = [] if sweep.tune is None else list(sweep.tune.grid)
    try:
        paths = {key: find(RunSpec, run, key, below="model") for key in tuned}
        check_disjoint(RunSpec, run, tuned, below="model", among="the same grid")
        _refuse(found, paths)
    except SpecError as error:
        raise error.under("tune.grid") from None
    for path in paths.values():
        fix = "Remove it here or from tune.grid."
        found[path] = "every variant runs at the value that tuning finds", fix
    _refuse(found, {key: find(RunSpec, run, key, below="model") for key in keys if found})


def _refuse(
    found: dict[str | SpecError, tuple[str, str]], paths: dict[str, str | SpecError]
) -> None:
    for key, path in paths.items():
        if path in found:
            problem, fix = found[path]
            raise SpecError(key, f"{problem}.", fix=fix)
