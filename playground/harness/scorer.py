"""Log-likelihoods of texts under a trained model, and texts that it writes.

Every text begins after a line end, the token that stands before the first one of a document in
training. Nothing is cut off: a text of any length is read in pieces with the state carried.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from playground.errors import DataError
from playground.spec import ModelSpec
from playground.tasks import IGNORE, Ask, Batch, Model, Reader, Tokenizer, evaluating
from playground.train import sample

ROWS = 16  # texts side by side
LOGITS = 1 << 24  # at most so many at once
PIECE = 1024  # tokens of a text read at once
BEFORE = "\n"  # what every text begins after

Told = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Of a continuation: nats (not positive), and whether every token was the likeliest; a word
    that the tokenizer does not know is never guessed."""

    nats: float
    greedy: bool


class Scorer:
    """A model with its tokenizer.

    Args:
        model: trained.
        spec: of the model.
        tokenizer: of its task.

    Raises:
        DataError: the tokenizer has no line end.
    """

    def __init__(self, model: nn.Module, spec: ModelSpec, tokenizer: Tokenizer) -> None:
        self.model, self.spec, self.tokenizer = model, spec, tokenizer
        before = self._ids(BEFORE)
        if not before:
            raise DataError("task.tokenizer", "it has no line end.", "Use bytes, words or hf:NAME.")
        self.before = before[-1]

    def require_any_text(self) -> None:
        """Refuse a tokenizer with a table that has no id for what was not in its training text.

        Raises:
            DataError: it is such a one.
        """
        try:
            self._ids("\x01")
        except DataError as unknown:
            problem = "its table has no id for what was not in its text, and other texts have such."
            fix = "Score a model of bytes or hf:NAME, or of words with <unk> in its text."
            raise DataError("task.tokenizer", problem, fix) from unknown

    def continuations(
        self, pairs: Sequence[tuple[str, str]], told: Told | None = None
    ) -> list[Likelihood]:
        """How likely each continuation is after its context; contexts may be empty."""
        items = [self._encoded(*pair) for pair in pairs]
        known = [not self._unknown(*pair) for pair in pairs]
        order = sorted(range(len(items)), key=lambda i: -len(items[i][0]))
        found: dict[int, Likelihood] = {}
        with evaluating(self.model):
            while len(found) < len(order):
                group = self._group(order[len(found) :], items)
                found |= zip(group, self._score([items[i] for i in group]), strict=True)
                if told is not None:
                    told(len(found), len(order))
        return [replace(found[i], greedy=found[i].greedy and known[i]) for i in range(len(items))]

    def whole(self, texts: Sequence[str], told: Told | None = None) -> list[float]:
        """Nats of whole texts, each read as one stream."""
        items = [[self.before, *self._ids(text)] for text in texts]
        order = sorted(range(len(items)), key=lambda i: -len(items[i]))
        found: dict[int, float] = {}
        with evaluating(self.model):
            for at in range(0, len(order), ROWS):
                group = order[at : at + ROWS]
                found |= zip(group, self._streams([items[i] for i in group]), strict=True)
                if told is not None:
                    told(len(found), len(order))
        return [found[i] for i in range(len(items))]

    def write(
        self, context: str, *, stop: Sequence[str], tokens: int, temperature: float = 0.0
    ) -> str:
        """What the model adds to a context: up to the first stop text, without it."""
        prompt, new = [self.before, *self._ids(context)], list[int]()
        text = ""
        for column in sample(
            self.model, self.spec, [prompt], tokens=tokens, temperature=temperature
        ):
            new.append(int(column[0]))
            text = self.tokenizer.decode(np.array(new))
            ends = [text.index(mark) for mark in stop if mark and mark in text]
            if ends:
                return text[: min(ends)]
        return text

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text.encode()).tokens.tolist()

    def _encoded(self, context: str, continuation: str) -> tuple[list[int], int]:
        """Tokens of both, and how many of them the continuation has."""
        bare = context.rstrip()  # a blank belongs to the word that follows it
        whole = self._ids(context + continuation)
        return [self.before, *whole], len(whole) - len(self._ids(bare))

    def _unknown(self, context: str, continuation: str) -> int:
        """Tokens of a continuation that stand for any word that the tokenizer does not know."""
        both = (context + continuation, context.rstrip())
        whole, bare = (self.tokenizer.encode(text.encode()).unknown for text in both)
        return whole - bare

    def _group(self, order: Sequence[int], items: Sequence[tuple[list[int], int]]) -> list[int]:
        """The next texts that are scored at once: few where their logits are many."""
        group: list[int] = []
        most = 1
        for i in order[:ROWS]:
            most = max(most, items[i][1])
            if group and (len(group) + 1) * most * self.spec.vocab > LOGITS:
                break
            group.append(i)
        return group

    def _score(self, items: Sequence[tuple[list[int], int]]) -> list[Likelihood]:
        most = max(count for _, count in items)
        tokens = _padded([ids[:-1] for ids, _ in items], 0)
        targets = torch.full((len(items), most), IGNORE)
        positions = torch.zeros(len(items), most, dtype=torch.int64)
        for row, (ids, count) in enumerate(items):
            at = torch.arange(len(ids) - 1 - most, len(ids) - 1)
            positions[row] = at.clamp(min=0)
            if count:
                targets[row, most - count :] = torch.tensor(ids[-count:])
        batch = Batch(tokens=tokens, targets=targets, positions=positions)
        reader = Reader(cast(Model, self.model), piece=PIECE)
        (logits,) = reader([Ask(batch=batch, carry=False, done=1, total=1)])
        scored = targets != IGNORE
        hits = (logits.argmax(-1).cpu() == targets) | ~scored
        nats = _nats(logits, targets).sum(1)
        return [
            Likelihood(nats=float(n), greedy=bool(hit))
            for n, hit in zip(nats, hits.all(1), strict=True)
        ]

    def _streams(self, items: Sequence[list[int]]) -> list[float]:
        tokens = _padded(items, 0)
        targets = _padded([ids[1:] for ids in items], IGNORE, tokens.shape[1])
        piece = max(16, min(PIECE, LOGITS // (self.spec.vocab * len(items))))
        reader, total = Reader(cast(Model, self.model)), torch.zeros(len(items)).double()
        steps = range(0, tokens.shape[1], piece)
        for done, at in enumerate(steps, start=1):
            part = Batch(tokens=tokens[:, at : at + piece], targets=targets[:, at : at + piece])
            (logits,) = reader([Ask(batch=part, carry=True, done=done, total=len(steps))])
            total += _nats(logits, part.targets).sum(1)
        return total.tolist()


def _padded(rows: Sequence[list[int]], fill: int, width: int | None = None) -> Tensor:
    wide = max(map(len, rows)) if width is None else width
    return torch.tensor([[*row, *[fill] * (wide - len(row))] for row in rows], dtype=torch.int64)


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-likelihoods [B, n] of targets, 0 where nothing is scored; in fp64 on the CPU."""
    chances: Any = logits.float().log_softmax(-1).cpu().double()
    found = chances.gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)
    return torch.where(targets != IGNORE, found, 0.0)
