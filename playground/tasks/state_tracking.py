"""State tracking: the product of all group elements so far (arXiv:2404.08819, arXiv:2411.12537).

Tokens are elements of a group, drawn evenly; the target at every position is the product of all
elements up to it, p_t = p_{t-1} g_t, where p g means g first, then p. Element 0 is the identity.

    parity  bits; the product is whether an odd number of them is 1
    s3      the 6 permutations of three things, in the order of itertools.permutations: solvable
    s5      the 120 permutations of five: a word problem that no circuit of constant depth and
            threshold gates (TC0) is believed to solve

A product of uniform elements is uniform, whatever part of them is known: chance is 1 / elements.
"""

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from playground.spec.tasks import StateTracking
from playground.tasks.answers import EVAL_SEED, Part, certain, eval_size, score_parts
from playground.tasks.base import Batch, Scoring, check_split
from playground.tasks.counter import below, draws
from playground.tasks.losses import CROSS_ENTROPY

GENERATOR = "state-tracking-1"
_POINTS = {"parity": 2, "s3": 3, "s5": 5}  # that are permuted


def products(group: str) -> NDArray[np.int64]:
    """[n, n] table of a group: its entry [p, g] is p g, g first."""
    elements = np.array(list(itertools.permutations(range(_POINTS[group]))))
    order = {tuple(element): i for i, element in enumerate(elements.tolist())}
    composed = elements[:, elements]  # [p, g, x] = p(g(x))
    return np.array([[order[tuple(one)] for one in row] for row in composed.tolist()])


class StateTrackingTask:
    """Examples made on demand; see the module for what they look like.

    Args:
        spec: `playground.spec.tasks.StateTracking`.
    """

    loss = CROSS_ENTROPY

    def __init__(self, spec: StateTracking) -> None:
        self.spec, self._table = spec, products(spec.group)
        self.vocab = len(self._table)

    def data_sha(self) -> str:
        """Identity of the generator; the spec's fields are in the fingerprint already."""
        return hashlib.sha256(f"{GENERATOR} {self.spec!r}".encode()).hexdigest()

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Examples index * size to (index + 1) * size - 1 of the stream (seed, split).

        Returns:
            tokens and targets [size, length].
        """
        check_split(split)
        return self._examples(self.spec.length, split, seed, index * size, size)

    def _examples(self, length: int, split: str, seed: int, first: int, count: int) -> Batch:
        tokens = below(draws(GENERATOR, seed, split, first, count, length), self.vocab)
        found, so_far = np.empty_like(tokens), np.zeros(count, np.int64)
        for t in range(length):
            so_far = found[:, t] = self._table[so_far, tokens[:, t]]
        return Batch(tokens=torch.from_numpy(tokens), targets=torch.from_numpy(found))

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score a model at every position of `test_examples` fixed examples of every length.

        Args:
            split: "train" (the stream of seed 0), "val" or "test"; `test_lengths` are of test.
            batches: at most so many batches of each length; None for all.

        Returns:
            "loss" (nats per position), "accuracy" (fraction of positions), "solved" (fraction of
            examples with every position right), "tokens" (positions scored); with test lengths
            all but the last also as "accuracy@128", and "accuracy@suite", the mean over them.
        """
        check_split(split)
        parts = {"": self._part(split, self.spec.length)}
        if split == "test":
            parts |= {str(n): self._part(split, n) for n in self.spec.test_lengths}
        return score_parts(parts, batches=batches)

    def _part(self, split: str, length: int) -> Part:
        def examples(first: int, count: int) -> Batch:
            """Those of one length."""
            return self._examples(length, split, EVAL_SEED, first, count)

        size = eval_size(length * self.vocab)
        return Part(examples=examples, total=self.spec.test_examples, size=size)

    def floors(self) -> dict[str, float]:
        """Nats per position of a guess among all elements."""
        return {"any_element": math.log(self.vocab)}

    def describe(self) -> dict[str, Any]:
        """What is generated and how it is scored."""
        return {
            "task": "state_tracking",
            "sha256": self.data_sha(),
            "group": self.spec.group,
            "elements": self.vocab,
            "chance": 1 / self.vocab,
            "length": self.spec.length,
            "test_lengths": list(self.spec.test_lengths),
            "examples": {"train": "generated", "val": self.spec.test_examples}
            | {"test": self.spec.test_examples},
            "evaluation": "all positions of fixed examples, the same for every run",
        }


class Oracle:
    """Multiplies permutations; a task on which it misses is wrong. No parameters."""

    def __init__(self, spec: StateTracking) -> None:
        self._elements = list(itertools.permutations(range(_POINTS[spec.group])))

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, elements]."""
        said = torch.tensor([self._walked(row) for row in tokens.tolist()])
        return certain(said, len(self._elements))

    def _walked(self, row: Sequence[int]) -> list[int]:
        at, said = self._elements[0], list[int]()
        for token in row:
            at = tuple(at[x] for x in self._elements[token])
            said.append(self._elements.index(at))
        return said

    def start(self, batch: int) -> Sequence[torch.Tensor]:
        """It carries nothing."""
        return ()
