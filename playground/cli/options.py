"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from playground.errors import PlaygroundError

Spec = Annotated[
    Path, typer.Argument(help="A YAML file, or the folder of a run or of an exported model.")
]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Other values of its keys, such as task.length=256 or device=cpu; of a model dim=128.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Out = Annotated[
    Path, typer.Option("--out", help="The folder that holds runs/, sweeps/ and searches/.")
]
NoCompile = Annotated[bool, typer.Option("--no-compile", help="Run without torch.compile.")]
Retry = Annotated[bool, typer.Option("--retry", help="Also the runs that failed before.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Plan, count and estimate; train nothing.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes side by side, else as its run.workers says."),
]
Name = Annotated[str | None, typer.Option("--name", help="Of the folder with what is found.")]
Here = Path()


def overrides(words: list[str] | None, no_compile: bool = False) -> list[str]:
    """The overrides of a call."""
    return [*(words or []), *(["compile=false"] if no_compile else [])]


def runs_folder(out: Path) -> Path:
    """Where runs are kept."""
    return out / "runs"


def searches_folder(out: Path) -> Path:
    """Where searches are kept."""
    return out / "searches"


def sweeps_folder(out: Path) -> Path:
    """Where sweeps are kept."""
    return out / "sweeps"


def check_figure(file: Path) -> None:
    """Refuse, before any work, a file that no figure can be written to.

    Raises:
        PlaygroundError: its ending names no format, or its folder is not there.
    """
    if file.suffix not in (".svg", ".png", ".pdf"):
        raise PlaygroundError(f"--figure: {file.name} is of no known kind. End it in .svg or .png.")
    if not file.parent.is_dir():
        raise PlaygroundError(f"--figure: there is no folder {file.parent}. Make it first.")
