"""What the memories of a model do while it reads: logs per layer, and a trace per token."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from playground.tasks import Batch


class Memory(Protocol):
    """What is asked of a memory layer: its scan, and two switches."""

    scan: Any
    frozen: bool
    observing: bool

    def observe(self) -> dict[str, float]: ...


def memories(model: nn.Module) -> dict[str, Memory]:
    """The memory layers of a model by name, from the input on."""
    return {
        name: cast(Memory, module)
        for name, module in model.named_modules()
        if callable(getattr(module, "observe", None)) and hasattr(module, "scan")
    }


@contextmanager
def frozen_memory(model: nn.Module) -> Iterator[None]:
    """Within it every memory is read and never written."""
    layers = list(memories(model).values())
    before = [layer.frozen for layer in layers]
    try:
        for layer in layers:
            layer.frozen = True
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.frozen = was


@contextmanager
def _looking(model: nn.Module) -> Iterator[None]:
    """The model in eval mode without gradients or torch.compile; its mode comes back.

    A look is too short to be worth the minute that a compiled graph of its own would take.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.train(was_training)


def memory_log(model: nn.Module, batch: Batch) -> list[dict[str, float]]:
    """Mean gates, surprise norm and memory norm of each memory layer over a batch.

    Returns:
        One mapping per memory layer, from the input on; [] for a model without memories.
    """
    layers = list(memories(model).values())
    if not layers:
        return []
    try:
        for layer in layers:
            layer.observing = True
        with _looking(model):
            model(batch.tokens)
        return [layer.observe() for layer in layers]
    finally:
        for layer in layers:
            layer.observing = False


@dataclass(frozen=True, kw_only=True)
class LayerTrace:
    """What one memory layer did at each of T tokens, means over its heads.

    Attributes:
        name: of the layer in the model.
        written: how far the token moved the memory (norm of the difference).
        read: norm of what the token read.
        memory: norm of the memory after the token.
        gates: each learned gate, mean over its matrices.
    """

    name: str
    written: list[float]
    read: list[float]
    memory: list[float]
    gates: Mapping[str, list[float]]


def trace(model: nn.Module, tokens: Tensor) -> list[LayerTrace]:
    """Run tokens [1, T] through a model and record every memory token by token.

    The scans are run one token at a time, which gives what they give in one call.
    """
    layers = memories(model)
    recorders = {name: _Recorder(name, layer.scan) for name, layer in layers.items()}
    with _looking(model):
        state = cast(Any, model).start(tokens.shape[0])  # what is written here is no token's
        try:
            for name, layer in layers.items():
                layer.scan = recorders[name]
            model(tokens, state)
        finally:
            for name, layer in layers.items():
                layer.scan = recorders[name].scan
    return [recorder.taken() for recorder in recorders.values()]


class _Recorder:
    """A scan that runs another one token by token and keeps what it sees."""

    def __init__(self, name: str, scan: Any) -> None:
        self.name, self.scan = name, scan
        self.written: list[float] = []
        self.read: list[float] = []
        self.memory: list[float] = []
        self.gates: dict[str, list[float]] = {}

    def __call__(self, rule: Any, state: Any, inputs: Any) -> tuple[Tensor, Any]:
        outputs = []
        for t in range(inputs.batch_size[1]):
            token = inputs[:, t : t + 1]
            y, after = self.scan(rule, state, token)
            self.written.append(_norm([after.memory[n] - w for n, w in state.memory.items()]))
            self.read.append(float(y.float().norm(dim=-1).mean()))
            self.memory.append(_norm(list(after.memory.values())))
            for gate, per_matrix in token.gates.items():
                values = [float(g.mean()) for g in per_matrix.values()]
                self.gates.setdefault(gate, []).append(sum(values) / len(values))
            outputs.append(y)
            state = after
        return (torch.cat(outputs, dim=1) if outputs else torch.zeros_like(inputs.v)), state

    def taken(self) -> LayerTrace:
        return LayerTrace(
            name=self.name,
            written=self.written,
            read=self.read,
            memory=self.memory,
            gates=self.gates,
        )


def _norm(matrices: list[Tensor]) -> float:
    """Norm over all matrices of a head, mean over heads; [B, H, d_in, d_out] each."""
    squares = sum((m.square().sum((-2, -1)) for m in matrices), torch.zeros(()))
    return float(squares.sqrt().mean())
