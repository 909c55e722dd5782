"""Every error a user can cause: what it concerns, what is wrong, and what would do."""

import difflib
from collections.abc import Iterable, Mapping


class PlaygroundError(Exception):
    """Root of all errors of this package; the command line prints it and exits with code 2."""


def likest(found: str, names: Iterable[str], most: int) -> list[str]:
    """At most so many of the names: those most like what was found, then the others in order."""
    every = sorted(names)
    close = difflib.get_close_matches(found, every, n=most)
    return list(dict.fromkeys([*close, *every]))[:most]


class SpecError(PlaygroundError, ValueError):
    """A spec that cannot be used: where, what is wrong, what would do.

    Args:
        path: full dotted path of the field, such as `model.block.memory.chunk_size`, or a file.
        problem: one or two sentences that end with a full stop.
        allowed: the legal names or values, if they can be listed.
        found: what the user wrote; the nearest of `allowed` is offered instead.
        fix: what to do, where `allowed` does not already say it.
        file: the YAML file in which that was written.
    """

    def __init__(
        self,
        path: str,
        problem: str,
        allowed: Iterable[str] = (),
        found: str = "",
        fix: str = "",
        file: str = "",
    ) -> None:
        self.path = path
        self.problem = problem
        self.allowed = tuple(sorted(allowed))
        self.found = found
        self.fix = fix
        self.file = file
        super().__init__(self._text())

    @property
    def nearest(self) -> str | None:
        """The allowed name that looks most like what was found, if any does."""
        near = difflib.get_close_matches(self.found, self.allowed, n=1) if self.found else []
        return near[0] if near else None

    def _text(self) -> str:
        near = self.nearest
        parts = [f"{self.path}: {self.problem}" if self.path else self.problem]
        if near is not None:
            parts.append(f"Did you mean {near!r}?")
        if self.fix:
            parts.append(self.fix)
        text = " ".join(parts)
        if self.allowed:
            text += f"\n  allowed: {', '.join(self.allowed)}"
        if self.file:
            text += f"\n  in: {self.file}"
        return text

    def under(self, prefix: str, file: str = "") -> "SpecError":
        """The same error seen from one level up: `prefix` is put before the path."""
        path = ".".join(part for part in (prefix, self.path) if part)
        return SpecError(path, self.problem, self.allowed, self.found, self.fix, self.file or file)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        args = (self.path, self.problem, self.allowed, self.found, self.fix, self.file)
        return type(self), args


class LoweringError(PlaygroundError, ValueError):
    """Nothing can run this: which part, and each lowering's own reason.

    Args:
        path: the node or field, such as `memory[2]`.
        problem: one sentence that ends with a full stop.
        reasons: lowering -> why it refuses.
        fix: what would do.
    """

    def __init__(
        self, path: str, problem: str, reasons: Mapping[str, str] | None = None, fix: str = ""
    ) -> None:
        self.path = path
        self.problem = problem
        self.reasons = dict(reasons or {})
        self.fix = fix
        text = f"{path}: {problem}" + (f" {fix}" if fix else "")
        if self.reasons:
            text += "\n  " + "   ".join(f"{name}: {why}" for name, why in self.reasons.items())
        super().__init__(text)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.path, self.problem, self.reasons, self.fix)


class DataError(PlaygroundError, ValueError):
    """A corpus or task whose data cannot be used: where, what is wrong, what would do."""

    def __init__(self, path: str, problem: str, fix: str = "") -> None:
        self.path = path
        self.problem = problem
        self.fix = fix
        super().__init__(f"{path}: {problem}" + (f" {fix}" if fix else ""))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.path, self.problem, self.fix)


class RunFailed(PlaygroundError, RuntimeError):
    """A run that stopped: the reason, the step, and the first bad tensor where there is one."""

    def __init__(self, reason: str, step: int | None = None, tensor: str = "") -> None:
        self.reason = reason
        self.step = step
        self.tensor = tensor
        when = f" at step {step}" if step is not None else ""
        super().__init__(reason + when + (f" in {tensor}" if tensor else ""))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.reason, self.step, self.tensor)


class ShadowedError(PlaygroundError, ImportError):
    """Another distribution's package stands where one of ours is expected."""
