"""The gate of a whole model: its logits and gradients, or those of a stream, are right.

They are held to the same model in fp64, every memory run token by token or, where that has no room,
in chunks, nothing compiled. What is allowed is a multiple of the error that this makes at the
precision timed.
"""

import copy
import math
from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from playground.bench.gate import Gate, Results, judge
from playground.bench.inputs import DTYPES, Dtype, Shape
from playground.bench.model_work import ModelWork
from playground.bench.work import Mode
from playground.compile import compile as compile_model
from playground.spec import ModelSpec

WHOLE = 256  # tokens of a sequence: up to here they are checked as they are, longer ones on fewer
ALL = 1024  # tokens of a call that is checked: the oracle keeps a memory for each of them


class ModelOracle:
    """What a model at its first weights should give; computed once for all paths and modes.

    Args:
        spec: the model.
        shape: batch, length and dtype of what is timed. Of sequences up to WHOLE tokens as many are
            checked as ALL tokens are; of longer ones two, of two periods and a bit. The bodies are
            the same.
        tolerance: the largest relative error; None for a multiple of that of plain PyTorch.
        against: the lowering of every memory.
        device: where the oracle runs.
    """

    def __init__(
        self,
        spec: ModelSpec,
        shape: Shape,
        tolerance: float | None = None,
        *,
        against: str = "recurrent",
        device: str = "cpu",
    ) -> None:
        self.spec, self.tolerance = spec, tolerance
        self.against, self.device = against, device
        self.dtype: Dtype = shape.dtype
        short = replace(
            shape,
            batch=min(shape.batch, 2),
            length=min(shape.length, 2 * spec.period + 3),
        )
        few = replace(shape, batch=min(shape.batch, max(1, ALL // shape.length)))
        self.shape = few if shape.length <= WHOLE else short

    def check(self, model: nn.Module, mode: Mode, device: str) -> Gate:
        """Judge a model that has the weights of seed 0, in the work of a mode.

        Training steps at a rate of 0 leave them, unless a gradient was infinite or no number.
        """
        if not all(weight.isfinite().all() for weight in model.parameters()):
            return Gate(green=False, error=math.nan, where="a gradient of the timed steps")
        streams, found = mode in ("prefill", "decode"), self._work(model, device)
        exact, plain = self.streamed if streams else self.whole
        results = stream_results(found) if streams else whole_results(found, mode != "forward")
        if mode == "forward":
            exact = {"logits": exact["logits"]}
        return judge(exact, plain, results, DTYPES[self.dtype], self.tolerance)

    @cached_property
    def whole(self) -> tuple[Results, Results]:
        """Logits and gradients: in fp64, and by the same form at the precision timed."""
        exact, plain = self._oracles()
        return whole_results(exact, True), whole_results(plain, True)

    @cached_property
    def streamed(self) -> tuple[Results, Results]:
        """Logits after a prompt and of single tokens, likewise."""
        exact, plain = self._oracles()
        return stream_results(exact), stream_results(plain)

    def _oracles(self) -> tuple[ModelWork, ModelWork]:
        target = {"device": self.device, "compile": False, "seed": 0}
        plain = compile_model(self.spec, lowering=self.against, **target)
        exact = copy.deepcopy(plain).double()
        return self._work(exact, self.device, exact=True), self._work(plain, self.device)

    def _work(self, model: nn.Module, device: str, exact: bool = False) -> ModelWork:
        timed = model.double() if self.dtype == "fp64" else model
        return ModelWork(
            timed,
            vocab=self.spec.vocab,
            batch=self.shape.batch,
            length=self.shape.length,
            dtype="fp64" if exact else self.dtype,
            device=device,
        )


def whole_results(work: ModelWork, gradients: bool) -> dict[str, Tensor]:
    """Logits, and gradients of the loss by parameter."""
    found = {"logits": work.forward()()}
    if gradients:
        slopes = work.forward_backward()()
        names = (f"gradient to {name}" for name in work.learned())
        found |= dict(zip(names, slopes, strict=True))
    return found


def stream_results(work: ModelWork) -> dict[str, Any]:
    """Logits after a prompt, and of the tokens that follow one by one."""
    return {"logits after the prompt": work.prefill()(), "logits one by one": work.decode()()}
