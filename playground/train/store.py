"""The run store: one folder per run, named by the run's fingerprint.

runs/<fingerprint>/spec.yaml       what was asked, as YAML that can be run again
                   resolved.json   the same with every default, canonical
                   env.json        versions, threads, device
                   metrics.jsonl   one row per event, appended
                   checkpoints/    the last two
                   result.json     written last, in one move: it exists when the run is over
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from playground.errors import PlaygroundError
from playground.files import read_bytes, read_json, write_json, write_text
from playground.train.checkpoint import Checkpoints
from playground.train.result import Result

log = logging.getLogger(__name__)

Row = dict[str, Any]

# A whole result.json, read for its status alone: `Result.to_dict` gives identity and status first.
_OVER = re.compile(rb'\{\s*"fingerprint": "\w*",\s*"status": "(ok|failed)",.*\}\s*\Z', re.DOTALL)


class RunBusy(PlaygroundError):
    """Another process is training this run right now."""


class RunFolder:
    """The folder of one run.

    Args:
        path: the folder; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fingerprint = path.name

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """checkpoints/"""
        return Checkpoints(self.path / "checkpoints")

    @property
    def metrics_path(self) -> Path:
        """metrics.jsonl"""
        return self.path / "metrics.jsonl"

    @property
    def spec_path(self) -> Path:
        """spec.yaml"""
        return self.path / "spec.yaml"

    def write_spec(self, spec_yaml: str) -> None:
        """Write what was asked for: where a worker, or a person, finds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.spec_path, spec_yaml)

    def describe(self, *, spec_yaml: str, resolved: Any, env: Mapping[str, Any]) -> None:
        """Write what the run is, before its first step."""
        self.write_spec(spec_yaml)
        write_json(self.path / "resolved.json", resolved)
        write_json(self.path / "env.json", dict(env))

    @property
    def described(self) -> bool:
        """Whether it is written what the run is."""
        return (self.path / "env.json").is_file()

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row to metrics.jsonl: one write, so that readers see whole lines."""
        line = json.dumps(dict(row)) + "\n"
        with self.metrics_path.open("ab") as file:
            file.write(line.encode())

    def rows(self) -> list[Row]:
        """All rows; a torn last line, left by a kill in mid-write, is dropped."""
        return list(read_rows(self.metrics_path))

    def rewind(self, step: int) -> None:
        """Drop rows of steps after `step`: training goes on from there and writes them again."""
        if not self.metrics_path.exists():
            return
        kept = [row for row in self.rows() if row.get("step", 0) <= step]
        write_text(self.metrics_path, "".join(json.dumps(row) + "\n" for row in kept))

    def result(self) -> Result | None:
        """The outcome, None while there is none."""
        path = self.path / "result.json"
        try:
            return Result.from_dict(read_json(path))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            log.warning("%s cannot be read (%s): the run counts as unfinished", path, error)
            return None

    def finish(self, result: Result) -> None:
        """Write the outcome; the run is over."""
        write_json(self.path / "result.json", result.to_dict())

    def reopen(self) -> None:
        """Forget the outcome, so that the run is taken up again from its last checkpoint."""
        (self.path / "result.json").unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run: one process at a time; a killed process lets go by itself.

        Raises:
            RunBusy: another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunBusy(
                f"{self.path}: another process is training this run. Wait for it or stop it."
            ) from None
        try:
            yield
        finally:
            lock.release()


class RunStore:
    """A folder of runs.

    Args:
        root: the folder that holds `<fingerprint>/`, usually `runs`.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def run(self, fingerprint: str) -> RunFolder:
        """The folder of a run, whether it exists or not."""
        return RunFolder(self.root / fingerprint)

    def status(self, fingerprint: str) -> str | None:
        """ "ok" or "failed" of a run that is over, else None; quick, for stores of many runs."""
        try:
            text = read_bytes(f"{self.root}/{fingerprint}/result.json")
        except FileNotFoundError:
            return None
        if found := _OVER.match(text):
            return found[1].decode()
        result = self.run(fingerprint).result()  # warns of what cannot be read
        return None if result is None else result.status

    def runs(self) -> list[RunFolder]:
        """All runs, by fingerprint."""
        if not self.root.is_dir():
            return []
        return [RunFolder(path.parent) for path in sorted(self.root.glob("*/resolved.json"))]

    def find(self, prefix: str) -> RunFolder:
        """The one run whose fingerprint begins with `prefix`.

        Raises:
            PlaygroundError: none or several do.
        """
        found = [run for run in self.runs() if run.fingerprint.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(run.fingerprint[:12] for run in (found or self.runs())[:8])
        problem = "several runs begin so" if found else "there is no such run"
        raise PlaygroundError(
            f"{self.root / prefix}: {problem}. "
            + (f"Name one of {known}." if known else "Train one with `playground train`.")
        )


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a metrics.jsonl; stops before a line that is not whole."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except ValueError:
                log.warning("%s: line %d is torn and is left out", path, number)
                continue
            if isinstance(row, dict) and line.endswith(b"\n"):
                yield row


def new_store(folder: Path) -> Path:
    """Make sure that a folder for runs exists and can be written to.

    Raises:
        PlaygroundError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PlaygroundError(
            f"{folder}: cannot be written to ({error.strerror}). Name another folder with --out."
        ) from None
    return folder
