"""NaN and infinity: which tensor had it first."""

import math

import torch
from torch import nn

from playground.errors import RunFailed


def check(model: nn.Module, *, loss: float, grad_norm: float, step: int) -> None:
    """Stop a run whose numbers are not finite, before they are written into the weights.

    Called after backward and before the optimizer's step. Weights that went bad in an earlier
    step are the cause of a bad loss, and a bad loss that of bad gradients: the first is named.

    Raises:
        RunFailed: with the step and the first bad tensor.
    """
    if math.isfinite(loss) and math.isfinite(grad_norm):
        return
    reason = "not a number" if math.isnan(loss) or math.isnan(grad_norm) else "infinite"
    raise RunFailed(reason, step, bad_weight(model) or _bad_loss(loss) or _bad_gradient(model))


def check_weights(model: nn.Module, step: int) -> None:
    """Stop a run whose weights are not finite: what a checkpoint holds can always be used.

    Raises:
        RunFailed: with the step and the first bad weight.
    """
    if name := bad_weight(model):
        raise RunFailed("not finite", step, name)


def bad_weight(model: nn.Module) -> str:
    """The first parameter or buffer that is not finite; "" if all are."""
    for kind, named in (("parameter", model.named_parameters()), ("buffer", model.named_buffers())):
        for name, tensor in named:
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                return f"{kind} {name}"
    return ""


def _bad_loss(loss: float) -> str:
    return "" if math.isfinite(loss) else "loss"


def _bad_gradient(model: nn.Module) -> str:
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            return f"gradient {name}"
    return "gradient norm"
