"""What a model costs: learned numbers, bytes a sequence carries, FLOPs of a token."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from playground.compile import LOWERINGS, Target, build, make_plan
from playground.spec import ModelSpec
from playground.train.memory import memories

_RECURRENT = next(lowering for lowering in LOWERINGS if lowering.name == "recurrent")
LENGTH = 512  # where the task says none


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Sizes of a model.

    Attributes:
        params: learned numbers.
        state_bytes: of one sequence, at the length that was asked for.
        flops_per_token: of a forward pass, matrix products only: the last token of that length,
            with every memory in its recurrent form. Other forms of the same mathematics spend
            more to be parallel, so this number belongs to the model and not to a lowering.
    """

    params: int
    state_bytes: int
    flops_per_token: int


def costs_of(model: nn.Module, length: int = LENGTH) -> Costs:
    """The costs of a model that is built.

    Args:
        model: on any device; it is not compiled for this.
        length: tokens of the sequence, at least 1; attention without a window grows with it.
    """
    stream, device = cast(Any, model), next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            state = stream.start(1)
            if length > 1:
                before = torch.zeros(1, length - 1, dtype=torch.int64, device=device)
                last = torch.full((1, 1), length - 2, device=device)
                _, state = stream(before, state, positions=last)
            flops, state = _count(model, state, torch.zeros(1, 1, dtype=torch.int64, device=device))
    finally:
        model.train(was_training)
    return Costs(
        params=sum(p.numel() for p in model.parameters()),
        state_bytes=state.num_bytes(),
        flops_per_token=flops,
    )


def _count(model: nn.Module, state: Any, token: torch.Tensor) -> tuple[int, Any]:
    """FLOPs of one more token, every memory by its definition, and the state after it."""
    layers = memories(model)
    with FlopCounterMode(display=False, custom_mapping=_ATTENTION) as counter:
        meters = {name: _Meter(counter, layer.scan) for name, layer in layers.items()}
        try:
            for name, layer in layers.items():
                layer.scan = meters[name]
            _, state = model(token, state.detach())
        finally:
            for name, layer in layers.items():
                layer.scan = meters[name].scan
    return counter.get_total_flops() + sum(meter.correction for meter in meters.values()), state


class _Meter:
    """The recurrent scan; where a rule says its FLOPs, that is put in place of what was counted.

    A rule that closes chunks does so in every step and keeps it in one of them: counting would
    charge each token for it.
    """

    def __init__(self, counter: FlopCounterMode, scan: Any) -> None:
        self.counter, self.scan, self.correction = counter, scan, 0

    def __call__(self, rule: Any, state: Any, inputs: Any) -> tuple[torch.Tensor, Any]:
        before = self.counter.get_total_flops()
        y, state = _RECURRENT.scan(rule, state, inputs)
        if (said := getattr(rule, "flops", None)) is not None:
            heads, width = inputs.k.shape[-2:]
            self.correction += heads * said(width) - (self.counter.get_total_flops() - before)
        return y, state


def _attention_flops(q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(q, k, v)


_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


def costs_of_spec(spec: ModelSpec, length: int = LENGTH) -> Costs:
    """The costs of a model that is built of fake tensors: nothing is computed or allocated.

    A sequence is sent through it, so that shapes that do not fit are found.

    Raises:
        LoweringError: nothing can run it.
    """
    make_plan(spec, Target(compile=False))  # finds the classes of rules, with real numbers, once
    with FakeTensorMode():
        return costs_of(build(spec), length)
