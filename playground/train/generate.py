"""Sampling: a prompt is read in one pass, then one token at a time with the state carried."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from playground.errors import PlaygroundError
from playground.spec import ModelSpec
from playground.train.seeds import stream


def generate(
    model: nn.Module,
    spec: ModelSpec,
    prompts: Sequence[Sequence[int]],
    *,
    tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    vocab: int | None = None,
    seed: int = 0,
) -> list[list[int]]:
    """Continuations of some prompts.

    Args:
        model: trained, in eval mode.
        spec: what the model was built from.
        prompts: token ids, at least one each; lengths may differ.
        tokens: how many to sample for each.
        temperature: logits are divided by it; 0 takes the most likely token.
        top_k: only the k most likely tokens can be drawn; None for all.
        vocab: only ids below it can be drawn: those that the task has, where the model has more.
        seed: row i draws from the stream (seed, i), whatever the other rows are.

    Returns:
        `tokens` new ids for each prompt.

    Raises:
        PlaygroundError: no model of tokens, an empty prompt, an id outside the vocabulary, or a
            count or temperature that makes no sense.
    """
    how: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "vocab": vocab, "seed": seed}
    columns = sample(model, spec, prompts, tokens=tokens, **how)
    new = torch.stack(list(columns), dim=1) if tokens else torch.zeros(len(prompts), 0).long()
    return new.tolist()


@torch.no_grad()
def sample(
    model: nn.Module,
    spec: ModelSpec,
    prompts: Sequence[Sequence[int]],
    *,
    tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    vocab: int | None = None,
    seed: int = 0,
) -> Iterator[Tensor]:
    """As `generate`, one column of new ids [B] at a time."""
    _check(spec, prompts, tokens, temperature, top_k, vocab)
    device = next(model.parameters()).device
    read, mask = left_pad(prompts, spec.period)
    streams = [torch.Generator().manual_seed(stream(seed, "sample", r)) for r in range(len(read))]
    state = cast(Any, model).start(len(read))
    last = torch.full((len(read), 1), read.shape[1] - 1, device=device)
    given = {} if mask is None else {"mask": mask.to(device)}
    logits, state = model(read.to(device), state, positions=last, **given)
    for _ in range(tokens):
        new = torch.stack(
            [
                _draw(row, temperature, top_k, generator)
                for row, generator in zip(logits[:, -1, :vocab].float().cpu(), streams, strict=True)
            ]
        )
        yield new
        logits, state = model(new[:, None].to(device), state)


def left_pad(prompts: Sequence[Sequence[int]], period: int) -> tuple[Tensor, Tensor | None]:
    """Prompts as one batch [B, T], and which tokens are theirs; None where all are.

    Prompts of one length are not padded. Ragged ones are filled up at their beginning, to a
    multiple of `period`, so that sampling begins at a chunk's start. Padding occupies its place
    in a chunk: a padded row has its chunks cut elsewhere than the same prompt alone.
    """
    longest = max(len(prompt) for prompt in prompts)
    if all(len(prompt) == longest for prompt in prompts):
        return torch.tensor([list(prompt) for prompt in prompts]), None
    width = -(-longest // period) * period
    tokens = torch.zeros(len(prompts), width, dtype=torch.int64)
    mask = torch.zeros(len(prompts), width, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = True
    return tokens, mask


def _draw(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator
) -> Tensor:
    if temperature == 0:
        return logits.argmax()
    if top_k is not None and top_k < len(logits):
        least = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < least, -math.inf)
    # from the largest down: nothing overflows, however small the temperature
    chances = torch.softmax((logits - logits.max()).double() / temperature, dim=-1)
    return torch.multinomial(chances, 1, generator=generator)[0]


def _check(
    spec: ModelSpec,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    temperature: float,
    top_k: int | None,
    vocab: int | None,
) -> None:
    if spec.reads.kind != "tokens":
        raise PlaygroundError(
            f"model: it reads {spec.reads.kind}, and only a model of tokens can be sampled from. "
            "Score it with `playground eval`."
        )
    if not prompts or not all(prompts):
        raise PlaygroundError("prompt: it is empty. Give at least one token.")
    outside = [token for prompt in prompts for token in prompt if not 0 <= token < spec.vocab]
    if outside:
        raise PlaygroundError(
            f"prompt: token {outside[0]} is outside the model's vocabulary of {spec.vocab}. "
            "Use the tokenizer the model was trained with."
        )
    if not 0 <= temperature < math.inf:
        raise PlaygroundError(f"temperature: {temperature} is no number from 0 up.")
    if tokens < 0:
        raise PlaygroundError(f"tokens: {tokens} is negative. Write 0 or more.")
    if vocab is not None and not 1 <= vocab <= spec.vocab:
        raise PlaygroundError(f"vocab: {vocab} is not between 1 and the model's {spec.vocab}.")
    if top_k is not None and top_k < 1:
        raise PlaygroundError(f"top_k: {top_k} leaves no token. Write 1 or more.")
