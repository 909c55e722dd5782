"""A loss over a large vocabulary of which only a part is computed: for training, never for a score.

The softmax's sum Z over all L tokens is estimated from the F tokens with the lowest ids (the most
frequent ones, where a tokenizer orders them so) and a uniform sample R of the others:

    Z' = e^{s_y} + sum_{w in F, w != y} e^{s_w} + (L - F) / |R| sum_{w in R, w != y} e^{s_w}

Z' is unbiased, and with frequent tokens exact its variance is small; log Z' is a little below log Z
on average (Jensen), so the training loss reads too low. A score always takes the whole softmax.
"""

import math

import torch
from torch import Tensor

FREQUENT = 0.5  # part of the tokens that are always computed


def draw(vocab: int, size: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Tokens whose logits are made, drawn from torch's generator of the CPU.

    Args:
        vocab: how many there are, L.
        size: how many of them; all if there are no more.
        device: where the result is.

    Returns:
        ids [K] int64, and the logarithm of how many tokens each stands for, [K].
    """
    size = min(size, vocab)
    frequent = round(size * FREQUENT) if size < vocab else vocab
    rest = vocab - frequent
    rare = frequent + torch.randperm(rest)[: size - frequent]
    stands_for = torch.zeros(size)
    stands_for[frequent:] = math.log(max(1, rest) / max(1, size - frequent))
    return torch.cat([torch.arange(frequent), rare]).to(device), stands_for.to(device)


def sampled_loss(
    x: Tensor, weight: Tensor, targets: Tensor, classes: Tensor, stands_for: Tensor
) -> Tensor:
    """Cross entropy with the estimated sum, per token.

    Args:
        x: [N, M], normed.
        weight: [L, M] of the head.
        targets: [N] int64, all scored.
        classes: [K] from `draw`.
        stands_for: [K] from `draw`.

    Returns:
        [N] nats, in fp32 at least.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    others = (x @ weight[classes].T).to(dtype) + stands_for
    own = (x * weight[targets]).sum(-1, dtype=dtype)
    place = classes.new_full((weight.shape[0],), -1)
    place[classes] = torch.arange(len(classes), device=classes.device)
    at = place[targets]  # where the target itself was drawn, else -1
    drawn = (at >= 0).nonzero().squeeze(-1)
    others = others.index_put((drawn, at[drawn]), others.new_tensor(-math.inf))
    return torch.logaddexp(others.logsumexp(-1), own) - own
