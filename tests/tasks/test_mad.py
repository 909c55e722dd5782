"""MAD: examples are what their files say, in both readings, and every oracle is perfect."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from playground.errors import DataError, SpecError
from playground.spec.tasks import (
    AbstractMad,
    MadCompression,
    MadFuzzyRecall,
    MadMemorization,
    MadNoisyRecall,
    MadRecall,
    MadSelectiveCopy,
)
from playground.tasks import evaluate, make_task
from playground.tasks.base import IGNORE, Batch
from playground.tasks.mad import (
    MadMemorizationTask,
    compression,
    fuzzy,
    memorization,
    recall,
    selective_copy,
)
from playground.tasks.mad.base import macro_accuracy

FEW = {"test_examples": 130}
SPECS: Sequence[AbstractMad] = (
    MadRecall(length=32, **FEW),
    MadNoisyRecall(length=32, noise=0.5, **FEW),
    MadNoisyRecall(length=16, noise=0.8, noise_vocab=3, **FEW),
    MadFuzzyRecall(length=64, **FEW),
    MadFuzzyRecall(length=40, vocab=9, motif=2, **FEW),
    MadSelectiveCopy(length=40, copies=8, **FEW),
    MadSelectiveCopy(length=9, copies=4, **FEW),
    MadCompression(length=12, **FEW),
    MadMemorization(vocab=33, length=12, **FEW),
)
READINGS = [
    type(spec)(**{**vars(spec), "protocol": protocol})
    for spec in SPECS
    for protocol in ("fixed", "paper")
]


def ids(spec: AbstractMad) -> str:
    return f"{spec.kind}-{spec.length}-{spec.protocol}"  # type: ignore[attr-defined]


def oracle(spec: AbstractMad) -> Any:
    if isinstance(spec, MadRecall):
        return recall.Oracle(spec.symbols() or 0)
    if isinstance(spec, MadMemorization):
        return memorization.Oracle(MadMemorizationTask(spec))
    files = {
        MadFuzzyRecall: fuzzy.Oracle,
        MadSelectiveCopy: selective_copy.Oracle,
        MadCompression: compression.Oracle,
    }
    return files[type(spec)](spec)  # type: ignore[index]


@pytest.mark.parametrize("spec", READINGS, ids=ids)
def test_the_oracle_solves_every_split(spec: AbstractMad) -> None:
    for split in ("train", "val", "test"):
        if split == "train" and spec.protocol == "paper":
            continue  # there most targets are chance
        scores = evaluate(make_task(spec), oracle(spec), split)
        assert scores["accuracy"] == scores["solved"] == 1.0
        assert scores["loss"] < 1e-6
        assert scores["tokens"] >= spec.test_examples


@pytest.mark.parametrize("spec", READINGS, ids=ids)
def test_an_example_does_not_depend_on_the_batch_size(spec: AbstractMad) -> None:
    task = make_task(spec)
    for split in ("train", "val"):
        whole = task.batch(split, 7, 0, 24)
        parts = [task.batch(split, 7, i, 3) for i in range(8)]
        assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
        assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)


@pytest.mark.parametrize("spec", READINGS, ids=ids)
def test_tokens_fit_the_symbols_that_the_spec_says(spec: AbstractMad) -> None:
    batch = make_task(spec).batch("train", 0, 0, 500)
    scored = batch.targets[batch.targets != IGNORE]
    assert batch.tokens.min() >= 0
    assert max(batch.tokens.max(), scored.max()) < make_task(spec).vocab
    assert make_task(spec).vocab == spec.symbols()


@pytest.mark.parametrize("cls", [type(spec) for spec in SPECS[::2]])
def test_seeds_and_splits_share_no_example(cls: type[AbstractMad]) -> None:
    task = make_task(cls())
    rows = [
        {tuple(row) for row in task.batch(split, seed, 0, 500).tokens.tolist()}
        for split, seed in [("train", 0), ("train", 1), ("val", 0), ("test", 0)]
    ]
    assert len(set().union(*rows)) == sum(map(len, rows)) == 2000


def test_a_value_of_recall_is_scored_if_its_key_was_there() -> None:
    batch = make_task(MadNoisyRecall(length=40, noise=0.4)).batch("val", 0, 0, 200)
    noise = 0
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        known: dict[int, int] = {}
        for key, value, target in zip(
            tokens[::2], [*tokens[1::2], None], targets[::2], strict=True
        ):
            if key >= 16:
                noise += 1
                assert target == IGNORE
                continue
            assert key < 8
            assert target == known.get(key, IGNORE)
            if value is not None:
                assert 8 <= value < 16
                assert known.setdefault(key, value) == value
        assert targets[1::2] == [IGNORE] * 19
        assert targets[-1] != IGNORE
    assert noise / (200 * 19) == pytest.approx(0.4 * 18 / 19, abs=0.03)


def test_published_recall_is_trained_on_every_token_and_scored_at_the_same_answers() -> None:
    for cls in (MadRecall, MadNoisyRecall, MadFuzzyRecall):
        fixed, paper = (make_task(cls(protocol=protocol)) for protocol in ("fixed", "paper"))
        train = paper.batch("train", 0, 0, 50)
        assert torch.equal(train.targets[:, :-1], train.tokens[:, 1:])
        assert (train.targets != IGNORE).all()
        assert torch.equal(train.tokens, fixed.batch("train", 0, 0, 50).tokens)
        assert (paper.batch("test", 0, 0, 50).targets == IGNORE).any()
    assert (fixed.batch("train", 0, 0, 50).targets == IGNORE).any()


def test_published_fuzzy_recall_is_asked_by_keys_of_the_largest_size() -> None:
    def key_sizes(protocol: str) -> set[int]:
        task = make_task(MadFuzzyRecall(protocol=protocol))  # type: ignore[arg-type]
        sizes = set()
        for tokens in task.batch("test", 0, 0, 100).tokens.tolist():
            words = "".join("p" if t == 15 else "k" if t < 7 else "v" for t in tokens).strip("p")
            sizes |= {len(run) for run in words.split("v") if run}
        return sizes

    assert key_sizes("fixed") == {1, 2, 3}
    assert key_sizes("paper") == {3}


def test_fuzzy_values_of_a_key_are_the_same_everywhere_and_the_last_pair_is_asked() -> None:
    batch = make_task(MadFuzzyRecall(vocab=10, motif=2)).batch("train", 0, 0, 100)
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        assert targets[-1] != IGNORE
        known: dict[tuple[int, ...], list[int]] = {}
        key: tuple[int, ...] = ()
        run: list[int] = []
        for token in [*tokens, targets[-1], 0]:
            if token < 4 and run:
                assert known.setdefault(key, run) == run
                key, run = (), []
            if token < 4:
                key = (*key, token)
            elif token < 9:
                run = [*run, token]
        assert len(known) > 4


def test_selective_copy_scatters_symbols_as_its_reading_says() -> None:
    batches: dict[str, Batch] = {}
    for protocol in ("fixed", "paper"):
        spec = MadSelectiveCopy(protocol=protocol)  # type: ignore[arg-type]
        batches[protocol] = make_task(spec).batch("test", 0, 0, 400)
        tokens = batches[protocol].tokens
        assert (tokens[:, 239] == 15).all()
        assert (tokens[:, 240:] == 14).all()
        assert ((tokens[:, :239] < 14).sum(1) == 16).all()
    at_end = {p: (batch.tokens[:, 238] < 14).float().mean().item() for p, batch in batches.items()}
    assert at_end["paper"] == 1.0
    assert at_end["fixed"] == pytest.approx(16 / 239, abs=0.04)


def test_a_map_to_memorize_is_the_same_for_all_and_takes_no_value_twice() -> None:
    task = MadMemorizationTask(MadMemorization())
    assert len(set(task.map.tolist())) == len(task.map) == 127
    assert task.map.min() >= 127
    assert task.map.max() < 255
    pairs = set()
    for split, seed in (("train", 0), ("train", 5), ("test", 0)):
        batch = task.batch(split, seed, 0, 300)
        keys, values = batch.tokens[:, ::2].flatten(), batch.targets.flatten()
        pairs |= set(zip(keys.tolist(), values.tolist(), strict=True))
    assert len(pairs) == 127


def test_a_limited_number_of_examples_comes_again_in_order() -> None:
    task = make_task(MadRecall(length=16, examples=10))
    whole = task.batch("train", 0, 0, 10).tokens
    assert torch.equal(task.batch("train", 0, 1, 25).tokens, whole.repeat(6, 1)[25:50])
    assert torch.equal(task.batch("train", 0, 3, 4).tokens, whole[[2, 3, 4, 5]])
    assert len(set(map(tuple, task.batch("val", 0, 0, 40).tokens.tolist()))) == 40


def test_the_published_accuracy_is_a_mean_over_symbols() -> None:
    targets = torch.tensor([[0, 0, 0, 1, IGNORE]])
    predicted = torch.tensor([[0, 0, 2, 1, 3]])
    logits = torch.nn.functional.one_hot(predicted, 5).float()
    # symbol 0: 2 of 3; symbol 1: 1 of 1; symbol 2 was said and never right; 3 and 4 not at all
    assert macro_accuracy(logits, targets) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_the_published_score_of_a_guess_differs_from_the_fraction_that_is_right() -> None:
    spec = MadCompression(protocol="paper", test_examples=256)

    class Guess(compression.Oracle):
        def __call__(self, tokens: torch.Tensor, *, positions: torch.Tensor) -> torch.Tensor:
            logits = super().__call__(tokens, positions=positions)
            logits[:, :-1] = 0.0
            logits[:, :-1, 0] = 1.0
            return logits

    scores = evaluate(make_task(spec), Guess(spec), "test")
    # always symbol 0, and the marker, which is sure
    assert scores["accuracy"] == pytest.approx(2 / 16)
    assert scores["micro_accuracy"] == pytest.approx((31 / 15 + 1) / 32, abs=0.01)


@pytest.mark.parametrize("spec", SPECS, ids=ids)
def test_floors_are_what_an_even_guess_scores(spec: AbstractMad) -> None:
    answers = {
        "mad_recall": range(8, 16),
        "mad_noisy_recall": range(8, 16),
        "mad_fuzzy_recall": range((spec.vocab - 1) // 2, spec.vocab - 1),
        "mad_selective_copy": range(14),
        "mad_compression": range(15),
        "mad_memorization": range(16, 32),
    }[spec.kind]  # type: ignore[attr-defined]
    task = make_task(spec)

    def guess(tokens: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        logits = torch.full((*(tokens if positions is None else positions).shape, task.vocab), -1e4)
        logits[..., list(answers)] = 0.0
        return logits

    (floor,) = task.floors().values()
    assert floor == pytest.approx(math.log(len(answers)))
    assert evaluate(task, guess, "test")["loss"] == pytest.approx(floor, rel=1e-5)  # type: ignore[arg-type]


def test_facts_are_json_and_every_field_is_of_the_identity() -> None:
    specs = [MadRecall(), MadRecall(protocol="paper"), MadRecall(vocab=32), MadNoisyRecall()]
    assert len({make_task(spec).data_sha() for spec in specs}) == 4
    for spec in specs:
        facts = make_task(spec).describe()
        assert json.loads(json.dumps(facts)) == facts


def test_wrong_sizes_are_errors_that_say_what_to_write() -> None:
    with pytest.raises(SpecError, match="copies"):
        MadSelectiveCopy(length=20, copies=10)
    with pytest.raises(SpecError, match="pairs"):
        MadRecall(length=31)
    with pytest.raises(SpecError, match="noise"):
        MadNoisyRecall(noise=1.0)
    with pytest.raises(SpecError, match="motif"):
        MadFuzzyRecall(vocab=6, motif=3)
    with pytest.raises(DataError, match="even"):
        make_task(MadRecall(vocab=15))


def test_keys_and_values_are_drawn_evenly() -> None:
    tokens = make_task(MadRecall()).batch("train", 0, 0, 500).tokens.numpy()
    for part, first in ((tokens[:, :-1:2], 0), (tokens[:, 1::2], 8)):
        counts = np.bincount((part - first).ravel())
        assert len(counts) == 8
        assert abs(counts / counts.mean() - 1).max() < 0.1
