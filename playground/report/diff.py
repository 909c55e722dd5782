"""What two runs differ in: what was asked, where they ran, what came out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.errors import DataError

_PARTS = {"spec": "resolved.json", "machine": "env.json", "result": "result.json"}
_OWN = ("fingerprint", "began", "ended")  # differ by definition


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that two runs do not share; None where a run has no such value.

    Attributes:
        part: spec, machine or result.
        key: dotted.
    """

    part: str
    key: str
    first: Any
    second: Any


def differences(first: Path, second: Path) -> list[Difference]:
    """All values that differ, in the order of the parts and of their keys.

    Args:
        first: the folder of a run.
        second: that of another.

    Raises:
        DataError: a folder is not that of a run.
    """
    found = []
    for part, name in _PARTS.items():
        one, other = (_read(folder, part, name) for folder in (first, second))
        for key in sorted({*one, *other}):
            if key not in _OWN and one.get(key) != other.get(key):
                found.append(
                    Difference(part=part, key=key, first=one.get(key), second=other.get(key))
                )
    return found


def _read(folder: Path, part: str, name: str) -> Mapping[str, Any]:
    path = folder / name
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return dict(_flat(found["spec"] if part == "spec" else found))
    except FileNotFoundError:
        if part == "result":
            return {}  # a run that is not over has none
        fix = "Give the folder of a run that was started, such as runs/0f3a..."
        raise DataError(str(folder), f"it has no {name}.", fix) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"it cannot be read ({type(error).__name__}: {error})."
        raise DataError(str(path), problem, "Train the run again.") from error


def _flat(raw: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in raw.items():
        path = f"{above}.{key}".lstrip(".")
        flat += _flat(value, path) if isinstance(value, Mapping) else [(path, value)]
    return flat
