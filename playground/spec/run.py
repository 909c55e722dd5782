"""What a person writes of one run: a model, a task, how to train, and on what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from playground.spec.ends import fitted, given_by
from playground.spec.growth import summed_length
from playground.spec.model import ModelSpec
from playground.spec.require import require
from playground.spec.tasks import TaskSpec

Compile = bool | Literal["loops"]  # loops: loops over chunks alone, on a CPU in seconds
CompileMode = Literal["default", "graphs"]
Scalar = bool | int | float | str

TYPICAL = 512  # tokens of an example, where only the data can tell

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?|mps")


@dataclass(frozen=True, kw_only=True)
class OptimSpec:
    """The outer optimizer and its schedule."""

    kind: Literal["adamw"] = "adamw"
    lr: float = 1e-3  # the peak
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.05  # below 1 a fraction of the steps, else steps
    min_lr: float = 0.1  # where the schedule ends, as a fraction of lr
    clip: float = 1.0  # largest gradient norm; 0 for none

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr", f"{self.lr} is not above 0.", "Write for example 1e-3.")
        for name in ("weight_decay", "warmup", "clip"):
            value = getattr(self, name)
            require(value >= 0, name, f"{value} is negative.", "Write 0 for none.")
        require(
            self.warmup < 1 or self.warmup.is_integer(),
            "warmup",
            f"{self.warmup} is neither a fraction below 1 nor a whole number of steps.",
            "Write for example 0.05 or 100.",
        )
        require(self.eps > 0, "eps", f"{self.eps} is not above 0.", "Write for example 1e-8.")
        require(
            all(0 <= beta < 1 for beta in self.betas),
            "betas",
            f"{list(self.betas)} are not both in [0, 1).",
            "Write for example [0.9, 0.95].",
        )
        require(
            0 <= self.min_lr <= 1,
            "min_lr",
            f"{self.min_lr} is not in [0, 1].",
            "It is a fraction of lr: write for example 0.1.",
        )


MOST_STEPS = 1 << 40  # at a microsecond each these are twelve days


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """How long and how to train; `*_every` count optimizer steps."""

    steps: int = 2000
    batch: int = 16  # examples per backward pass
    accumulate: int = 1  # backward passes per optimizer step
    # tokens of the vocabulary in a training loss, for a vocabulary of tens of thousands; 0: all
    softmax_sample: int = field(default=0, metadata={"later": True})
    optim: OptimSpec = field(default_factory=OptimSpec)
    eval_every: int = 200
    eval_batches: int = 20
    checkpoint_every: int = 100
    log_every: int = 10
    # which weights are scored on test, stored and exported: the last, or the best on val
    keep: Literal["last", "best"] = field(default="last", metadata={"later": True})
    # false: the run never reads the test split, as while values are chosen
    score_test: bool = field(default=True, metadata={"later": True})

    def __post_init__(self) -> None:
        counts = ("batch", "accumulate", "eval_every", "eval_batches", "log_every")
        for name in ("steps", *counts, "checkpoint_every"):
            value = getattr(self, name)
            require(value >= 1, name, f"{value} is not a positive count.", "Write 1 or more.")
        require(
            self.optim.warmup <= self.steps,
            "optim.warmup",
            f"{self.optim.warmup:g} steps are more than the {self.steps} of the training.",
            "Write a fraction of the steps, for example 0.05.",
        )
        fix = f"Write at most {MOST_STEPS:,}."
        require(self.steps <= MOST_STEPS, "steps", f"{self.steps:,} never end.", fix)
        fix = "Write at most 1,048,576 and accumulate."
        require(self.batch <= 1 << 20, "batch", f"{self.batch:,} examples fit nowhere.", fix)
        require(
            self.softmax_sample == 0 or self.softmax_sample >= 2,
            "softmax_sample",
            f"{self.softmax_sample} is too few.",
            "Write 0 for the whole vocabulary, or for example 4096.",
        )


def check_device(device: str) -> None:
    """Refuse what names no device.

    Raises:
        SpecError: of the field `device`.
    """
    known = _DEVICE.fullmatch(device) is not None
    fix = "Write auto, cpu, cuda, cuda:0 or mps."
    require(known, "device", f"{device!r} is not a device.", fix)


@dataclass(frozen=True, kw_only=True)
class ExecutionSpec:
    """How a run is executed: no part of its identity."""

    compile_mode: CompileMode = "default"  # graphs: kernels recorded and replayed, on CUDA


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One training run, complete: the same RunSpec and data always give the same numbers on CPU.

    A model takes the sizes that it leaves open from the task.

    Raises:
        SpecError: the model has fewer symbols than the task uses, or reads something else.
    """

    kind: ClassVar[str] = "run"

    model: ModelSpec
    task: TaskSpec
    train: TrainSpec = field(default_factory=TrainSpec)
    seed: int = 0
    device: str = "auto"  # auto | cpu | cuda | cuda:N | mps
    dtype: Literal["auto", "fp32", "bf16", "fp64"] = "auto"
    lowering: Literal["auto", "recurrent", "chunked", "triton"] = "auto"
    compile: Compile = True  # whole blocks, or loops over chunks alone
    # overrides under which the trained weights are scored on test as well, such as
    # [{block.memory.chunk_size: 8}, {task.length: 1024}]; the largest step must stay as trained
    evaluate: tuple[Mapping[str, Scalar], ...] = field(
        default=(), hash=False, metadata={"later": True}
    )
    run: ExecutionSpec = field(default_factory=ExecutionSpec)

    def seeded(self, seed: int) -> "RunSpec":
        """The same run with another seed of 0 or more, which no other field depends on.

        A tenth of what `replace` takes, which checks and fits all fields again: sweeps have many.
        """
        require(seed >= 0, "seed", f"{seed} is negative.", "Write 0 or more.")
        twin = object.__new__(RunSpec)
        twin.__dict__.update(self.__dict__, seed=seed)
        return twin

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", f"{self.seed} is negative.", "Write 0 or more.")
        check_device(self.device)
        object.__setattr__(self, "model", fitted(self.model, given_by(self.task)))
        require(
            self.train.score_test or not self.evaluate,
            "evaluate",
            "it is scored on the test split, which train.score_test: false leaves unread.",
            "Remove one of the two.",
        )
        symbols = self.task.symbols()
        require(
            symbols is None or self.model.vocab >= symbols,
            "model.vocab",
            f"{self.model.vocab} is fewer than the {symbols} symbols of the task.",
            f"Write model.vocab: {symbols}.",
        )

    @property
    def example_length(self) -> int:
        """Tokens, frames or values that a model reads of one example, for counts and estimates.

        512 where only the data can tell: sequences of DNA, facts without a text around them.
        """
        written = (getattr(self.task, name, 0) for name in ("length", "lookback"))
        return next((length for length in written if length), TYPICAL)

    @property
    def training_tokens(self) -> int:
        """How many of them all steps read together."""
        return self.tokens_by(self.train.steps)

    def tokens_by(self, step: int) -> int:
        """How many of them the first `step` steps read; a mean where lengths are drawn."""
        batches = step * self.train.accumulate
        known = getattr(self.task, "train_lengths", ()) or (self.example_length,)
        lengths = [length or TYPICAL for length in known]
        grow_every = getattr(self.task, "grow_every", 0)
        return round(self.train.batch * summed_length(lengths, grow_every, batches))
