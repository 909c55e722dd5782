"""DNA sequences to be classified (GenomicBenchmarks, doi:10.1186/s12863-023-01123-8).

    fill fill A C G T ... end -> class

One token per base; shorter sequences are filled up at their left, as HyenaDNA does
(arXiv:2306.15794), so that the class is read at the last position. Token ids: 0 fills up; A, C, G,
T are 1 to 4, any other letter is 5; 6 ends a sequence; class c, in the order of names, is 7 + c.

A source without a test part is cut into `folds` parts: within each class sequences are ordered by
their sha256 and dealt out in turn, equal ones to the same part. Of what is left to learn from, one
sequence in twenty of every class is val.
"""

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from playground.spec.tasks import Dna
from playground.spec.tasks.dna import SYMBOLS
from playground.tasks.answers import certain, score_answers
from playground.tasks.base import SPLITS, Batch, Scoring, check_split
from playground.tasks.counter import draws
from playground.tasks.dna_source import MOTIFS, Labelled, load_labelled, split_folds
from playground.tasks.losses import CROSS_ENTROPY

GENERATOR = "dna-1"  # part of the data's identity: raise it when the same spec gives other tokens
KMER = 5  # of the floor
END = SYMBOLS - 1
_BASES = b"ACGT"
_CODES = np.full(256, 5, np.int64)
_CODES[list(_BASES)] = np.arange(1, 5)
_CODES[list(_BASES.lower())] = np.arange(1, 5)
_OTHER_STRAND = np.array([0, 4, 3, 2, 1, 5, END])


class DnaTask:
    """Labelled sequences in three splits.

    Args:
        spec: `playground.spec.tasks.Dna`.

    Raises:
        DataError: the source cannot be read, has fewer than two classes, or too few sequences.
    """

    loss = CROSS_ENTROPY

    def __init__(self, spec: Dna) -> None:
        self.spec = spec
        self.source = load_labelled(spec.source, own_test=spec.folds == 0)
        self.splits = split_folds(self.source, spec.folds, spec.fold)
        self.classes = sorted({label for part in self.splits.values() for label in part.labels})
        self.vocab = SYMBOLS + len(self.classes)
        longest = max(len(s) for part in self.splits.values() for s in part.sequences)
        self.length = longest + 1
        self._tokens = {split: self._encode(part) for split, part in self.splits.items()}
        self._order: dict[tuple[str, int, int], NDArray[np.int64]] = {}

    def _encode(self, part: Labelled) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens [N, length] and classes [N]."""
        tokens = np.zeros((len(part.sequences), self.length), np.int64)
        for row, sequence in zip(tokens, part.sequences, strict=True):
            row[-1 - len(sequence) : -1] = _CODES[np.frombuffer(sequence.encode(), np.uint8)]
        tokens[:, -1] = END
        return tokens, np.array([self.classes.index(label) for label in part.labels], np.int64)

    def data_sha(self) -> str:
        """Identity of the sequences and of how they are cut."""
        return hashlib.sha256(f"{GENERATOR} {self.source.sha256}".encode()).hexdigest()

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Examples index * size to (index + 1) * size - 1 of the stream (seed, split).

        The stream of train goes through the split again and again, each time in another order.

        Returns:
            tokens [size, T]; positions [size, 1], all the last one; targets [size, 1], classes.
        """
        check_split(split)
        at = np.arange(index * size, (index + 1) * size)
        total = len(self._tokens[split][0])
        rows = [int(self._epoch(split, seed, int(i) // total)[int(i) % total]) for i in at]
        turned = np.zeros(size, np.bool_)
        if self.spec.reverse_complement and split == "train":
            turned = draws(f"{GENERATOR}/strand", seed, split, index * size, size, 1)[:, 0] % 2 == 1
        return self._batch(split, np.array(rows), turned)

    def _epoch(self, split: str, seed: int, epoch: int) -> NDArray[np.int64]:
        """The order of one time through a split; the last few are kept."""
        key = (split, seed, epoch)
        if key not in self._order:
            while len(self._order) > 3:
                self._order.pop(next(iter(self._order)))
            total = len(self._tokens[split][0])
            raw = draws(f"{GENERATOR}/order", seed, split, epoch, 1, total)[0]
            self._order[key] = np.argsort(raw, kind="stable")
        return self._order[key]

    def _batch(
        self, split: str, rows: NDArray[np.int64], turned: NDArray[np.bool_] | None = None
    ) -> Batch:
        tokens, classes = self._tokens[split]
        chosen = tokens[rows]
        if turned is not None and turned.any():
            chosen = np.where(turned[:, None], self._other_strand(chosen), chosen)
        return Batch(
            tokens=torch.from_numpy(chosen),
            targets=torch.from_numpy(SYMBOLS + classes[rows][:, None]),
            positions=torch.full((len(rows), 1), self.length - 1),
        )

    def _other_strand(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Reversed and complemented; fill stays at the left."""
        filled = (tokens == 0).sum(axis=1)
        back = _OTHER_STRAND[tokens[:, -2::-1]]
        for row, count in zip(back, filled.tolist(), strict=True):
            row[:] = np.roll(row, count)
        return np.concatenate([back, tokens[:, -1:]], axis=1)

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score a model on every sequence of a split.

        Args:
            split: "train", "val" or "test".
            batches: at most so many batches of 250 sequences; None for all.

        Returns:
            "loss" (nats per sequence), "accuracy" and "solved" (fraction of sequences), "tokens".
        """
        check_split(split)
        return score_answers(
            lambda first, count: self._batch(split, np.arange(first, first + count)),
            len(self._tokens[split][0]),
            batches=batches,
        )

    def floors(self) -> dict[str, float]:
        """Nats per sequence and accuracy of the classes' frequencies and of 5-mers' regression."""
        _, train = self._tokens["train"]
        _, test = self._tokens["test"]
        counts = np.bincount(train, minlength=len(self.classes)) + 1
        nats, right = self._kmers()
        return {
            "class_frequencies": -float(np.log(counts / counts.sum())[test].mean()),
            "class_frequencies_accuracy": float((test == counts.argmax()).mean()),
            f"{KMER}-mers": nats,
            f"{KMER}-mers_accuracy": right,
        }

    def _kmers(self) -> tuple[float, float]:
        from playground.tasks.kmers import kmer_floor  # scipy takes half a second

        train, test = self.splits["train"], self.splits["test"]
        return kmer_floor(
            train.sequences,
            tuple(self.classes.index(label) for label in train.labels),
            test.sequences,
            tuple(self.classes.index(label) for label in test.labels),
            KMER,
        )

    def describe(self) -> dict[str, Any]:
        """Counts, sha, protocol, and what 5-mers reach."""
        return {
            "task": "dna",
            "sha256": self.data_sha(),
            "source": self.spec.source,
            "classes": self.classes,
            "sequences": {split: len(self.splits[split].sequences) for split in SPLITS},
            "fold": f"{self.spec.fold} of {self.spec.folds}" if self.spec.folds else "as it comes",
            "length": self.length,
            f"accuracy_of_{KMER}-mers": round(self._kmers()[1], 4),
            "evaluation": "the class at the last position, every sequence of the split, "
            "the model of the last step",
        }


class Oracle:
    """Knows the generated source: which of two motifs comes first."""

    def __init__(self, task: DnaTask) -> None:
        self.task = task

    def start(self, batch: int) -> tuple[()]:
        """It carries nothing."""
        return ()

    def __call__(self, tokens: torch.Tensor, *, positions: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1, vocab]."""
        letters = [bytes(b"-ACGTN$"[i] for i in row).decode() for row in tokens.tolist()]
        later = [text.index(MOTIFS[0]) > text.index(MOTIFS[1]) for text in letters]
        found = torch.tensor([[SYMBOLS + one] for one in later])
        return certain(found, self.task.vocab)
