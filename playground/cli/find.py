"""Which run a person means: by its spec, its folder, an exported folder, or its fingerprint."""

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from playground.cli.options import Here, runs_folder
from playground.errors import PlaygroundError, SpecError

if TYPE_CHECKING:
    from playground.spec import RunSpec


OF_SCORING = ("model", "task", "device", "dtype", "lowering", "compile")  # fields of a run


class NotTrained(PlaygroundError):
    """A run that has no checkpoint yet."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A trained model: the folder that has its weights, and the run it belongs to."""

    folder: Path
    spec: "RunSpec"


def find(what: Path, words: list[str], out: Path, *, no_compile: bool = False) -> Found:
    """The trained model that `what` names.

    Args:
        what: a YAML of a run or model (with the words it was trained with), `runs/<fingerprint>`,
            an exported folder, or the beginning of a fingerprint.
        words: overrides; with a folder of what is scored and how: the task, the model without other
            weights, device, dtype, lowering and compile.
        out: the folder that holds runs/.
        no_compile: of a spec, look first for the run that was trained without torch.compile; else
            last, where the spec's own was not trained.

    Raises:
        PlaygroundError: there is none.
    """
    try:
        is_folder, is_file = what.is_dir(), what.is_file()
    except OSError:  # a name that is too long is none
        is_folder = is_file = False
    if is_folder:
        return _in_folder(what, words)
    if what.suffix in (".yaml", ".yml") or is_file:
        return _of_spec(what, words, out, no_compile)
    from playground.train import RunStore

    return _in_folder(RunStore(runs_folder(out)).find(str(what)).path, words)


def refuse_words(what: Path, words: list[str] | None, why: str) -> None:
    """Refuse overrides of a trained model that would have no effect.

    Args:
        what: as of `find`; of a file they say which run is meant.
        words: the overrides.
        why: they have none.
    """
    if words and not what.is_file():
        raise PlaygroundError(f"{words[0]}: {why}. Leave it out.")


def _in_folder(folder: Path, words: list[str]) -> Found:
    from playground.train import stored_run

    if not (folder / "spec.yaml").is_file():
        raise PlaygroundError(f"{folder}: no run and no exported model. Name one, or a YAML file.")
    if (why := _failed(folder)) is not None:
        out = folder.resolve().parent.parent
        command = ["playground", "train", str(folder), "--retry"]
        command += ["--out", str(out)] if out != Path.cwd() else []
        problem = f"the run failed and has no weights: {why}."
        raise PlaygroundError(f"{folder}: {problem} Try it again: {shlex.join(command)}")
    return Found(folder=folder, spec=_as_asked(stored_run(folder), words))


def _failed(folder: Path) -> str | None:
    """Why a run without a checkpoint failed; None where it did not, or has weights all the same."""
    from playground.train import RunFolder

    run = RunFolder(folder)
    result = None if run.checkpoints.steps() else run.result()
    return None if result is None or result.ok else str(result.reason)


def _as_asked(run: "RunSpec", words: list[str]) -> "RunSpec":
    """A trained run with what is asked for; what it was trained with is past."""
    from playground.spec import override
    from playground.spec.load import COMMAND_LINE
    from playground.spec.raw import parse_override

    try:
        asked = override(run, dict(map(parse_override, words))) if words else run
    except SpecError as error:
        raise error.under("", COMMAND_LINE) from None
    kept = replace(run, **{name: getattr(asked, name) for name in OF_SCORING})
    for item in fields(run):
        if getattr(asked, item.name) != getattr(kept, item.name):
            problem = "says how a model is trained; this one is."
            raise SpecError(item.name, problem, fix="Leave it out.", file=COMMAND_LINE)
    return asked


def _of_spec(path: Path, words: list[str], out: Path, no_compile: bool) -> Found:
    from playground.spec import load_run
    from playground.tasks import make_task
    from playground.train import RunStore, identity

    spec, store = load_run(path, *words), RunStore(runs_folder(out))
    task, plain = make_task(spec.task), replace(spec, compile=False)
    tried = (plain, spec) if no_compile else (spec, plain)
    runs = [store.run(identity(asked, task)) for asked in tried]
    for asked, run in zip(tried, runs, strict=True):
        if run.checkpoints.steps():
            return Found(folder=run.path, spec=asked)
    why = _failed(runs[0].path)
    command = ["playground", "train", str(path), *words]
    command += ["--no-compile"] * no_compile + (["--out", str(out)] if out != Here else [])
    if why is not None:
        command.append("--retry")
        problem = f"this run failed and has no weights: {why}. Try it again"
    else:
        problem = "this run is not trained yet. Train it"
    raise NotTrained(f"{path}: {problem}: {shlex.join(command)}")
