"""The outer optimizer and its schedule."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from playground.spec.run import OptimSpec


def scheduled_lr(spec: OptimSpec, step: int, steps: int) -> float:
    """The learning rate of optimizer step `step` (from 0) of `steps`.

    Warm-up rises linearly and reaches the peak at its last step; after it the schedule falls
    from the peak to `min_lr` times the peak, which the last step has.
    """
    warmup = round(spec.warmup * steps) if spec.warmup < 1 else int(spec.warmup)
    if step < warmup:
        return spec.lr * (step + 1) / warmup
    if spec.schedule == "constant":
        return spec.lr
    done = min(1.0, (step - warmup + 1) / max(1, steps - warmup))
    shape = 0.5 * (1.0 + math.cos(math.pi * done)) if spec.schedule == "cosine" else 1.0 - done
    return spec.lr * (spec.min_lr + (1.0 - spec.min_lr) * shape)


def make_optimizer(spec: OptimSpec, model: nn.Module) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only.

    Biases, gains and other vectors keep their size, also those that every head has its own of:
    decay would pull them to a value that means something (a gain of 0, a gate half open).
    """
    kept, decayed = [], []
    for name, parameter in _learned(model):
        (decayed if _is_matrix(name, parameter) else kept).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=spec.lr,
        betas=spec.betas,
        eps=spec.eps,
        fused=True,
    )


def clipping(norm: float, most: float) -> float:
    """What gradients of a norm are multiplied by so that it is at most `most`; `most` 0: no limit.

    As `torch.nn.utils.clip_grads_with_norm_`.
    """
    return min(1.0, most / (norm + 1e-6)) if most > 0 else 1.0


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def applied_lr(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate the optimizer really used, read back from it."""
    return float(optimizer.param_groups[0]["lr"])


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state by parameter name: "optim/<quantity>/<parameter>"."""
    return {
        f"optim/{quantity}/{name}": value
        for name, parameter in _learned(model)
        for quantity, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave; other names in `tensors` are not looked at."""
    for name, parameter in _learned(model):
        state: dict[str, Tensor] = {}
        for quantity in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors.get(f"optim/{quantity}/{name}")
            if value is not None:
                # the step count stays fp32 whatever the parameter's type: AdamW's own convention
                dtype = value.dtype if quantity == "step" else parameter.dtype
                state[quantity] = value.to(device=parameter.device, dtype=dtype, copy=True)
        if state:
            optimizer.state[parameter] = state


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    *above, last = name.split(".")
    return parameter.ndim >= 2 and last != "bias" and "slow" not in above


def _learned(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)
