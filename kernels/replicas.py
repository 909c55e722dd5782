"""Our operators under `torch.func.vmap`: replicas are more sequences, or one more leading axis.

So a stack of runs is one call of the same operator, with all replicas' work in its products.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


def to_front(t: Tensor, axis: int | None, size: int) -> Tensor:
    """The axis of `size` replicas first; a tensor without one is the same for all."""
    return t.expand(size, *t.shape) if axis is None else t.movedim(axis, 0)


def into(t: Tensor, axis: int | None, size: int, at: int) -> Tensor:
    """Replicas merged with the axis `at` of a single one's tensor: [.., R x N, ..], contiguous."""
    return to_front(t, axis, size).movedim(0, at).flatten(at, at + 1).contiguous()


def register_sequences(
    name: str, operator: Callable[..., Tensors], places: tuple[int, ...]
) -> None:
    """Give vmap to an operator whose tensors all have their sequences first.

    Args:
        name: of the operator.
        operator: itself; arguments that are no tensors are the same for all replicas.
        places: of the sequences in what it gives.
    """

    def rule(info, axes, *given):
        size = info.batch_size
        merged = (
            into(t, axis, size, 0) if isinstance(t, Tensor) else t
            for t, axis in zip(given, axes, strict=True)
        )
        found = zip(operator(*merged), places, strict=True)
        return tuple(t.unflatten(at, (size, -1)) for t, at in found), places

    torch.library.register_vmap(name, rule)


def register_leading(name: str, operator: Callable[..., Tensor | tuple[Tensor, ...]]) -> None:
    """Give vmap to an operator that treats all leading axes of its tensors alike.

    Arguments that are no tensors are the same for all replicas.
    """

    def rule(info, axes, *tensors):
        given = (
            to_front(t, axis, info.batch_size).contiguous() if isinstance(t, Tensor) else t
            for t, axis in zip(tensors, axes, strict=True)
        )
        found = operator(*given)
        return found, 0 if isinstance(found, Tensor) else (0,) * len(found)

    torch.library.register_vmap(name, rule)
