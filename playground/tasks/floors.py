"""What counting reaches: interpolated Witten-Bell n-grams, vectorised."""

import numpy as np
from numpy.typing import NDArray

# Up to this many possible (context, token) pairs a table of counts beats sorting.
DENSE_LIMIT = 1 << 24


def ngram_loss(
    train: NDArray[np.integer], text: NDArray[np.integer], order: int, vocab: int
) -> float:
    """Mean loss of an interpolated Witten-Bell n-gram, nats per token.

        P_k(x | h) = (count(h x) + types(h) P_{k-1}(x | h')) / (count(h) + types(h))

    with h the k - 1 tokens before x, h' without its oldest, types(h) the number of different
    tokens seen after h, and P_0 uniform: every probability is positive and they sum to one. A
    context never seen in training falls through to the shorter one. The first tokens of `text`
    have shorter contexts.

    Args:
        train: [N] tokens that are counted.
        text: [M] tokens that are scored.
        order: length n of the n-gram, >= 1 (1 = unigram).
        vocab: number of token ids.

    Raises:
        ValueError: an order below 1, or nothing to count or to score.
    """
    if order < 1 or not len(train) or not len(text):
        raise ValueError(f"order {order} on {len(train)} and {len(text)} tokens has no loss.")
    probability = np.full(len(text), 1.0 / vocab)
    seen = np.zeros(len(train), np.int64)  # id of the context before each token of train
    asked = np.zeros(len(text), np.int64)  # the same for text; -1: never seen in train
    contexts = 1
    for k in range(min(order, len(text), len(train))):
        keys, inverse, counts = count_keys(seen * vocab + train[k:], contexts * vocab)
        wanted = asked * vocab + text[k:]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        hit = (asked >= 0) & (keys[at] == wanted)
        total = np.bincount(keys // vocab, weights=counts, minlength=contexts)
        types = np.bincount(keys // vocab, minlength=contexts)
        mass = np.where(asked >= 0, total[asked], 0.0)
        weight = np.where(mass > 0, types[asked], 1)  # an unseen context leaves the shorter one's
        here = np.where(hit, counts[at], 0) + weight * probability[k:]
        probability[k:] = here / (mass + weight)
        seen, asked, contexts = inverse[:-1], np.where(hit, at, -1)[:-1], len(keys)
    return float(-np.log(probability).mean())


def count_keys(
    keys: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sorted distinct keys, the index of each key among them, and their counts."""
    if limit > DENSE_LIMIT:
        return np.unique(keys, return_inverse=True, return_counts=True)
    table = np.bincount(keys, minlength=limit)
    distinct = np.flatnonzero(table)
    rank = np.cumsum(table > 0) - 1
    return distinct, rank[keys], table[distinct]
