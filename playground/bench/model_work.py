"""What is timed of a whole model: logits, gradients, a training step, a prompt, single tokens."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playground.bench.inputs import Dtype
from playground.bench.work import STEPS, Mode
from playground.spec import OptimSpec
from playground.train import make_optimizer, set_lr

CLIP = 1.0  # largest gradient norm


def random_tokens(vocab: int, batch: int, length: int, *, device: str, seed: int = 0) -> Tensor:
    """[batch, length] token ids, a function of the arguments alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocab, (batch, length), generator=generator).to(device)


class ModelWork:
    """The modes of one model over random tokens; each method gives a function to be timed.

    Args:
        model: from `compile`.
        vocab: its different tokens.
        batch: sequences.
        length: tokens of a call, or those before the ones that are decoded.
        dtype: fp32 and fp64 as they are; bf16 under autocast, as in training.
        device: where the model is.
    """

    def __init__(
        self, model: nn.Module, *, vocab: int, batch: int, length: int, dtype: Dtype, device: str
    ) -> None:
        self.model: Any = model
        self.batch, self.dtype, self.device = batch, dtype, device
        self.tokens = random_tokens(vocab, batch, length, device=device)
        self.targets = random_tokens(vocab, batch, length, device=device, seed=1)
        self.new = random_tokens(vocab, batch, STEPS, device=device, seed=2)
        self.last = torch.full((batch, 1), length - 1, device=device)

    def of(self, mode: Mode) -> Callable[[], object]:
        """The function of a mode."""
        return getattr(self, mode)()

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 matrix products where the dtype says so."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.dtype == "bf16")

    def logits(self) -> Tensor:
        """[B, T, L], with a graph if gradients are on."""
        with self.autocast():
            return self.model(self.tokens)

    def loss(self) -> Tensor:
        """Mean cross entropy against random targets."""
        logits = self.logits()
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return F.cross_entropy(logits.flatten(0, 1), self.targets.flatten())

    def learned(self) -> dict[str, nn.Parameter]:
        """Parameters by name."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def forward(self) -> Callable[[], Tensor]:
        """Logits without gradients."""
        return torch.no_grad()(self.logits)

    def forward_backward(self) -> Callable[[], tuple[Tensor, ...]]:
        """The gradients of the loss to every parameter."""
        wanted = list(self.learned().values())

        def run() -> tuple[Tensor, ...]:
            return torch.autograd.grad(
                self.loss(), wanted, allow_unused=True, materialize_grads=True
            )

        return run

    def train_step(self) -> Callable[[], Tensor]:
        """Gradients, clipping and AdamW; at a rate of 0, so that every call does the same."""
        optimizer = make_optimizer(OptimSpec(), self.model)
        set_lr(optimizer, 0.0)

        def run() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            loss = self.loss()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
            optimizer.step()
            return loss.detach()

        return run

    def prefill(self) -> Callable[[], Tensor]:
        """A prompt into a state, and the logits after it."""
        return lambda: self._read()[0]

    def decode(self) -> Callable[[], Tensor]:
        """STEPS tokens one by one, from the state after the prompt."""
        _, state = self._read()

        @torch.no_grad()
        def run() -> Tensor:
            after, found = state, []
            with self.autocast():
                for t in range(STEPS):
                    logits, after = self.model(self.new[:, t : t + 1], after)
                    found.append(logits)
            return torch.cat(found, dim=1)

        return run

    @torch.no_grad()
    def _read(self) -> tuple[Tensor, Any]:
        with self.autocast():
            start = self.model.start(self.batch)
            return self.model(self.tokens, start, positions=self.last)
