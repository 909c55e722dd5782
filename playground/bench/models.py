"""Whole models: groups of shapes and modes, a cell for every path."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from playground.bench.cell import Cell, Group, Prepared
from playground.bench.inputs import Shape
from playground.bench.model_gate import ModelOracle
from playground.bench.model_work import ModelWork
from playground.bench.peers.base import missing, refused_cell
from playground.bench.peers.fla import with_fla
from playground.bench.row import Cost
from playground.bench.rules import BACKWARD, PATHS, interpreted
from playground.bench.work import Mode
from playground.compile import Plan, Target, make_plan
from playground.compile import compile as compile_model
from playground.compile.build import CompiledBody
from playground.compile.flops import flops_per_token
from playground.spec import ModelSpec
from playground.train import costs_of_spec

ALONE = "the model has no memory: it is the compiled path"


@dataclass(frozen=True, kw_only=True)
class ModelBench:
    """One model at one shape and mode."""

    name: str
    spec: ModelSpec
    shape: Shape  # heads and width are the model's own
    mode: Mode
    oracle: ModelOracle
    device: str = "cpu"
    peers: tuple[str, ...] = ()

    def group(self, paths: tuple[str, ...]) -> Group:
        """The group of these paths, and of peers that can take a model's memories."""
        return Group(
            kind="model",
            what=self.name,
            mode=self.mode,
            shape=self.shape,
            cost=self.cost(),
            cells=(*(self.cell(path) for path in paths), *self._peer_cells()),
        )

    def _peer_cells(self) -> tuple[Cell, ...]:
        rules = [b.memory.rule for b in self.spec.blocks() if hasattr(b, "memory")]  # pyright: ignore
        if "fla" not in self.peers or not rules or any(r.kind != "gated_delta" for r in rules):
            return ()
        path, why = "peer: fla", missing("fla")
        if self.device != "cuda":
            why = f"fla-core needs CUDA, target is {self.device}"
        elif self.mode in ("prefill", "decode") or self._wide:
            why = "fla's chunks are for whole calls in fp32 or bf16"

        def prepare() -> Prepared:
            found = compile_model(self.spec, device=self.device, lowering="chunked", seed=0)
            ran = {"memories": "fla chunk_gated_delta_rule"}
            return replace(self.prepared(with_fla(found), True), ran=lambda: ran)

        return (refused_cell(path, why) if why else Cell(path=path, prepare=prepare),)

    def cell(self, path: str) -> Cell:
        """The cell of one path; a lowering that refuses says so when it is prepared."""
        name, compiled = PATHS[path]
        memories = any(hasattr(block, "memory") for block in self.spec.blocks())
        alone = ALONE if name == "triton" and not memories else ""

        def prepare() -> Prepared:
            model = compile_model(
                self.spec, device=self.device, lowering=name, compile=compiled, seed=0
            )
            return self.prepared(model, compiled)

        refused = interpreted(name) or alone
        return Cell(path=path, lowering=name, refused=refused, prepare=prepare)

    def prepared(self, model: nn.Module, compiled: bool) -> Prepared:
        """A model with the weights of seed 0, ready to be timed and checked."""
        model = model.double() if self.shape.dtype == "fp64" else model
        run = ModelWork(
            model,
            vocab=self.spec.vocab,
            batch=self.shape.batch,
            length=self.shape.length,
            dtype=self.shape.dtype,
            device=self.device,
        ).of(self.mode)
        return Prepared(
            run=run,
            check=lambda: self.oracle.check(model, self.mode, self.device),
            ran=lambda: forms_of(model, run),
            compiled=compiled,
        )

    def cost(self) -> Cost:
        """FLOPs of the model's formulas; bytes of weights, states and logits."""
        plan, item = make_plan(self.spec, Target(compile=False)), 8 if self._wide else 4
        costs = costs_of_spec(self.spec, self.shape.length)
        weights = float(costs.params * item)
        states = float(costs.state_bytes * self.shape.batch)
        logits = float(self.shape.batch * self.spec.vocab * item)
        if self.mode == "decode":  # no formula knows what one token costs in every form
            return Cost(flops=None, bytes=weights + 2.0 * states + logits)
        flops = float(flops_per_token(plan, self.shape.length) * self.shape.tokens)
        if self.mode == "prefill":
            head = 2.0 * self.spec.dim * self.spec.vocab
            flops -= head * (self.shape.tokens - self.shape.batch)
            return Cost(flops=flops, bytes=weights + states + logits)
        logits *= self.shape.length
        if self.mode == "forward":
            return Cost(flops=flops, bytes=weights + logits)
        # read twice, a gradient written; AdamW reads that, weights and moments, and writes three
        passes = 3.0 + (7.0 if self.mode == "train_step" else 0.0)
        return Cost(flops=BACKWARD * flops, bytes=passes * weights + 2.0 * logits)

    @property
    def _wide(self) -> bool:
        return self.shape.dtype == "fp64"


def forms_of(model: nn.Module, run: Callable[[], object]) -> dict[str, str]:
    """Which form ran in every memory and attention, seen in one call of `run`.

    The plan says the lowering and the backend; whether a compiled program ran is looked at, since
    a body takes the eager way for single tokens and odd lengths.
    """
    plan: Plan = model.plan  # pyright: ignore
    with watched(model) as seen:
        run()
    found: dict[str, str] = {}
    for node in plan.nodes:
        form = node.lowering or node.backend
        if not form:
            continue
        block = int(node.name.split(".")[1])
        if form != "recurrent" or seen[block]["compiled"]:
            form += f" {_how(seen[block])}"
        found[node.name] = form
    return found


def _how(calls: Mapping[str, int]) -> str:
    compiled, eager = calls["compiled"], calls["eager"]
    if compiled and eager:
        return f"compiled {compiled} of {compiled + eager} calls"
    return "compiled" if compiled else "eager"


@contextmanager
def watched(model: Any) -> Iterator[list[Counter[str]]]:
    """For every block, how often a body ran compiled, and how often not, while this is open."""
    seen: list[Counter[str]] = [Counter() for _ in model.blocks]
    bodies = [
        (body, count)
        for block, count in zip(model.blocks, seen, strict=True)
        for name in block.bodies
        if isinstance(body := getattr(block, name), CompiledBody)
    ]
    kept = [(body, body.method, body.compiled) for body, _ in bodies]
    for body, count in bodies:
        body.method = _counting(body.method, count, "eager")
        body.compiled = _counting(body.compiled, count, "compiled")
    try:
        yield seen
    finally:
        for body, method, compiled in kept:
            body.method, body.compiled = method, compiled


def _counting(function: Callable[..., Any], count: Counter[str], name: str) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        count[name] += 1
        return function(*args)

    return run


def shape_of(batch: int, length: int, dtype: Any) -> Shape:
    """The shape of a model's call."""
    return Shape(batch=batch, length=length, heads=0, width=0, dtype=dtype)
