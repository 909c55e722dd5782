"""What a person writes of a bench: what is timed, on which paths, and what holds a time back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from memory_rules import AbstractMemoryRule
from playground.errors import SpecError
from playground.spec.model import ModelSpec
from playground.spec.require import require

Path = Literal["recurrent", "eager", "compiled", "triton"]
Mode = Literal["forward", "forward_backward", "train_step", "prefill", "decode"]
PeerName = Literal["titans-pytorch", "fla", "sdpa", "flex", "xformers"]
OF_OPS: tuple[Mode, ...] = ("forward", "forward_backward", "decode")  # the others are of models


@dataclass(frozen=True, kw_only=True)
class BenchRule:
    """A memory rule by itself: in YAML its name, or `{kind: titans, chunk_size: 64}`."""

    rule: AbstractMemoryRule

    @property
    def name(self) -> str:
        """The rule's kind, and the fields that differ from their defaults."""
        rule = self.rule
        items = ((item.name, item.default) for item in fields(rule))  # pyright: ignore
        changed = (f"{n}={getattr(rule, n)}" for n, value in items if getattr(rule, n) != value)
        return " ".join([rule.kind, *changed])


@dataclass(frozen=True, kw_only=True)
class ShapesSpec:
    """Sizes of the calls that are timed: every combination of the values."""

    batch: tuple[int, ...] = (1,)
    length: tuple[int, ...] = (1024,)  # tokens; what was read before, where one token is decoded
    heads: tuple[int, ...] = (4,)  # of rules by themselves; a model has its own
    width: tuple[int, ...] = (64,)  # of a head, likewise
    dtype: tuple[Literal["fp32", "bf16", "fp64"], ...] = ("fp32",)

    def __post_init__(self) -> None:
        for name in ("batch", "length", "heads", "width", "dtype"):
            values = getattr(self, name)
            problem = f"{list(values)} is not a list of different values."
            good = bool(values) and len(set(values)) == len(values)
            require(good, name, problem, "Write for example [1, 8].")
            counts = name == "dtype" or min(values) >= 1
            require(counts, name, f"{list(values)} are not all positive.", "Write 1 or more.")


@dataclass(frozen=True, kw_only=True)
class CheckSpec:
    """The gate before a time: no number without it."""

    # in fp64: token by token; or, for models whose states of every token have no room, in chunks
    against: Literal["recurrent", "chunked"] = "recurrent"
    # auto: 8 times the error that this form makes at the precision that is timed; or the
    # largest relative error (of outputs, states and gradients, each by its norm)
    tolerance: float | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        good = self.tolerance == "auto" or 0 < self.tolerance < 1
        require(good, "tolerance", f"{self.tolerance} is not in (0, 1).", "Write auto or 1e-5.")


@dataclass(frozen=True, kw_only=True)
class BenchSpec:
    """Models and rules, each on several paths, with a gate before every time.

    Raises:
        SpecError: nothing to time, the same thing twice, or a baseline that is none of the paths.
    """

    kind: ClassVar[str] = "bench"

    models: Mapping[str, ModelSpec] = field(default_factory=dict[str, ModelSpec])
    rules: tuple[BenchRule, ...] = ()
    paths: tuple[Path, ...] = ("eager", "compiled", "triton")
    modes: tuple[Mode, ...] = ("forward", "forward_backward")
    shapes: ShapesSpec | tuple[ShapesSpec, ...] = field(default_factory=ShapesSpec)
    gates: tuple[Literal["default", "strong", "weak"], ...] = ("default",)  # of rules
    check: CheckSpec = field(default_factory=CheckSpec)
    baseline: Path = "eager"
    peers: tuple[PeerName, ...] = ()  # the extra `peers`; beside rules
    repeats: int = 20  # calls that count, of each
    warmup: int = 3  # and before them
    empty_cache: bool = False  # true: compile as on a first use, without what torch has kept
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        some = bool(self.models) or bool(self.rules)
        fix = "Write models: [PATH, ...] or rules: [delta, ...]."
        require(some, "models", "there is nothing to time.", fix)
        for name, model in self.models.items():
            problem = f"the model reads {model.reads.kind}; only models of tokens are timed."
            fix = "Leave it out, or bench its rule: rules: [...]."
            require(model.reads.kind == "tokens", f"models.{name}", problem, fix)
        names = [rule.name for rule in self.rules]
        for name, values in (
            ("rules", names),
            *((n, getattr(self, n)) for n in ("paths", "modes", "gates", "peers")),
        ):
            problem = f"{list(values)} has one of them twice."
            require(len(set(values)) == len(values), name, problem, "Keep it once.")
        for name in ("paths", "modes", "gates"):
            require(bool(getattr(self, name)), name, "it is empty.", "Name at least one.")
        require(bool(self.every_shape()), "shapes", "it is empty.", "Write {length: [1024]}.")
        if self.baseline not in self.paths:
            problem = f"{self.baseline} is not among the paths."
            raise SpecError("baseline", problem, self.paths, self.baseline)
        held = self.check.against == "recurrent" or not self.rules
        problem = "rules by themselves are held to the recurrence."
        require(held, "check.against", problem, "Write recurrent, or leave out rules.")
        useful = bool(self.models) or bool(set(self.modes) & set(OF_OPS))
        fix = f"Write {', '.join(OF_OPS)}, or name models."
        require(useful, "modes", f"{', '.join(self.modes)} are of models alone.", fix)
        require(self.repeats >= 1, "repeats", f"{self.repeats} is no count.", "Write 1 or more.")
        require(self.warmup >= 0, "warmup", f"{self.warmup} is negative.", "Write 0 or more.")

    def every_shape(self) -> tuple[ShapesSpec, ...]:
        """The products of shapes, one or several."""
        return self.shapes if isinstance(self.shapes, tuple) else (self.shapes,)
