"""Ablations that are masks: what one model lacks another has, with weights that do nothing.

A momentum or decay gate at zero is none, and a convolution at the identity is none. So models
that differ in these alone can be one program; their other parts have the same shapes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from blocks.spec import MemorySpec
from playground.spec import ModelSpec

GATES = ("momentum", "decay")  # fields of a rule that may read `none`
LEARNED = ("token", "head", "channel", "value_channel")


def completed(spec: ModelSpec) -> ModelSpec:
    """The model with every part that can be masked: equal for those that one program can hold."""
    return _changed(spec, lambda memory: _with(memory, (*GATES, "conv")))


def host_of(specs: Sequence[ModelSpec]) -> ModelSpec:
    """The smallest model that holds all of these as masks of itself; `completed` is the same."""
    wanted = [part for part in (*GATES, "conv") if any(_has(spec, part) for spec in specs)]
    return _changed(specs[0], lambda memory: _with(memory, wanted))


def _with(memory: MemorySpec, parts: Sequence[str]) -> MemorySpec:
    """The memory with parts that it lacks, as they are by default."""
    rule: Any = memory.rule
    changes: dict[str, str] = {}
    for name in GATES:
        default = {f.name: f.default for f in fields(rule)}.get(name)
        if name in parts and getattr(rule, name, "") == "none" and default in LEARNED:
            changes[name] = default
    conv = memory.conv or (_CONV if "conv" in parts else 0)
    return replace(memory, conv=conv, rule=replace(rule, **changes) if changes else rule)


_CONV = next(f.default for f in fields(MemorySpec) if f.name == "conv")


def _has(spec: ModelSpec, part: str) -> bool:
    """Whether some memory of the model has the part."""
    found: list[MemorySpec] = []
    _changed(spec, lambda memory: (found.append(memory), memory)[1])
    if part == "conv":
        return any(memory.conv for memory in found)
    return any(getattr(memory.rule, part, "none") != "none" for memory in found)


def _changed(value: Any, change: Callable[[MemorySpec], MemorySpec]) -> Any:
    """A spec with every memory in it replaced."""
    if isinstance(value, MemorySpec):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _changed(item, change) for key, item in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    before = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
    after = {name: _changed(item, change) for name, item in before.items()}
    kept = all(after[name] is item or after[name] == item for name, item in before.items())
    return value if kept else replace(value, **after)
