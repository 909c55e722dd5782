"""What is timed of a rule by itself: a pass over a problem, with gradients, or token by token."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from memory_rules import AbstractMemoryRule, Inputs, Scan, State
from memory_rules.testing import Case

Mode = Literal["forward", "forward_backward", "train_step", "prefill", "decode"]
MODES: tuple[Mode, ...] = ("forward", "forward_backward")  # of rules; the others need a model
STEPS = 16  # tokens of a call that decodes: in so many a chunk closes


def forward(scan: Scan, case: Case) -> Callable[[], Tensor]:
    """The scan without gradients, the starting state included; gives y [B, T, H, V]."""

    def run() -> Tensor:
        with torch.no_grad():
            return scan(case.rule, case.state(), case.inputs)[0]

    return run


def forward_backward(scan: Scan, case: Case) -> Callable[[], tuple[Tensor, ...]]:
    """The scan and the gradients of its outputs to tokens, gates and weights, by leaf."""
    leaves = {n: x.detach().clone().requires_grad_() for n, x in case.leaves().items()}
    tracked, wanted = case.with_leaves(leaves), list(leaves.values())
    v = case.inputs.v
    generator = torch.Generator(v.device).manual_seed(3)
    towards = torch.randn(v.shape, generator=generator, device=v.device).to(v.dtype)

    def run() -> tuple[Tensor, ...]:
        y, _ = scan(tracked.rule, tracked.state(), tracked.inputs)
        return torch.autograd.grad(y, wanted, towards, allow_unused=True, materialize_grads=True)

    return run


def at_precision(scan: Scan, dtype: torch.dtype, device: torch.device | str) -> Scan:
    """The scan as a model of that precision calls it: under autocast where it is bf16."""
    if dtype != torch.bfloat16:
        return scan

    def run(rule: AbstractMemoryRule, state: State, inputs: Inputs) -> tuple[Tensor, State]:
        with torch.autocast(torch.device(device).type, dtype=dtype):
            return scan(rule, state, inputs)

    return run


def one_by_one(scan: Scan) -> Scan:
    """The scan called for every token in turn, as in decoding."""

    def run(rule: AbstractMemoryRule, state: State, inputs: Inputs) -> tuple[Tensor, State]:
        outputs = []
        for t in range(inputs.batch_size[1]):
            y, state = scan(rule, state, inputs[:, t : t + 1])
            outputs.append(y)
        return torch.cat(outputs, dim=1), state

    return run


def decode(scan: Scan, case: Case) -> Callable[[], Tensor]:
    """The problem's last STEPS tokens one by one, from the state after those before them.

    Raises:
        ValueError: the problem has not more than STEPS tokens.
    """
    length = case.inputs.batch_size[1] - STEPS
    if length < 1:
        raise ValueError(f"length: more than {STEPS} tokens are needed, not {length + STEPS}.")
    with torch.no_grad():
        _, state = scan(case.rule, case.state(), case.inputs[:, :length])
    tokens = [case.inputs[:, t : t + 1] for t in range(length, length + STEPS)]

    def run() -> Tensor:
        after, outputs = state, []
        with torch.no_grad():
            for token in tokens:
                y, after = scan(case.rule, after, token)
                outputs.append(y)
        return torch.cat(outputs, dim=1)

    return run


def work(mode: Mode, scan: Scan, case: Case) -> Callable[[], object]:
    """The function of a mode of rules.

    Raises:
        ValueError: the mode is of models alone.
    """
    made = {"forward": forward, "forward_backward": forward_backward, "decode": decode}
    if mode not in made:
        raise ValueError(f"mode: {mode} is of models; a rule has {', '.join(made)}.")
    return made[mode](scan, case)


def with_context(case_length: int, mode: Mode) -> int:
    """Tokens a problem needs: decoding reads `case_length` of them first."""
    return case_length + STEPS if mode == "decode" else case_length
