"""How much is read by batches whose length is drawn, more lengths joining as training goes on."""

from dataclasses import replace
from statistics import fmean

import pytest

from playground.spec import RunSpec
from playground.spec.growth import summed_length
from playground.spec.tasks import Niah
from playground.tasks.lengths import length_of
from tests.train.small import RUN

LENGTHS = (128, 192, 256, 384, 512)


@pytest.mark.parametrize("batches", [0, 1, 39, 40, 41, 160, 161, 1000])
@pytest.mark.parametrize("grow_every", [0, 40])
def test_the_sum_is_that_of_every_batch(batches: int, grow_every: int):
    known = [
        LENGTHS[: 1 + index // grow_every] if grow_every else LENGTHS for index in range(batches)
    ]
    assert summed_length(LENGTHS, grow_every, batches) == pytest.approx(sum(map(fmean, known)))


def test_draws_come_near_it():
    drawn = sum(length_of("niah", "train", index, LENGTHS, 240) for index in range(2700))
    assert summed_length(LENGTHS, 240, 2700) == pytest.approx(drawn, rel=0.02)


def test_a_run_counts_what_its_batches_read():
    task = Niah(length=512, train_lengths=(128, 512), grow_every=10)
    train = replace(RUN.train, steps=20, batch=4, accumulate=2)
    spec = RunSpec(model=replace(RUN.model, vocab=256), task=task, train=train)
    assert spec.tokens_by(0) == 0
    assert spec.tokens_by(5) == 4 * 10 * 128
    assert spec.tokens_by(6) == 4 * (10 * 128 + 2 * 320)
    assert spec.training_tokens == spec.tokens_by(20) == 4 * (10 * 128 + 30 * 320)
