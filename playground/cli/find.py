"""Which run a person means: by its spec, its folder, an exported folder, or its fingerprint."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from playground.cli.options import Here, runs_folder
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.spec import RunSpec


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
        words: overrides; with a folder only how it is executed may change (device=, lowering=).
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


def _in_folder(folder: Path, words: list[str]) -> Found:
    from playground.spec import load_run
    from playground.train import stored_run

    if not (folder / "spec.yaml").is_file():
        raise PlaygroundError(f"{folder}: no run and no exported model. Name one, or a YAML file.")
    if (folder / "training.json").is_file():
        if words:
            raise PlaygroundError(
                f"{words[0]}: an exported model takes no overrides. Leave it out."
            )
        return Found(folder=folder, spec=stored_run(folder))
    return Found(folder=folder, spec=load_run(folder / "spec.yaml", *words))


def _of_spec(path: Path, words: list[str], out: Path, no_compile: bool) -> Found:
    from playground.spec import load_run
    from playground.tasks import make_task
    from playground.train import RunStore, identity

    spec, store = load_run(path, *words), RunStore(runs_folder(out))
    task, plain = make_task(spec.task), replace(spec, compile=False)
    for asked in (plain, spec) if no_compile else (spec, plain):
        run = store.run(identity(asked, task))
        if run.checkpoints.steps():
            return Found(folder=run.path, spec=asked)
    command = ["playground", "train", str(path), *words]
    command += ["--no-compile"] * no_compile + (["--out", str(out)] if out != Here else [])
    raise NotTrained(f"{path}: this run is not trained yet. Train it: {shlex.join(command)}")
