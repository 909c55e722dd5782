"""Training on a part of the vocabulary: the same with all of it, repeatable, never stacked."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from playground.errors import SpecError
from playground.spec import Text
from playground.train import stack_key
from tests.train.small import RUN, losses, run_with, trained


def test_all_tokens_drawn_is_training_on_the_whole_softmax(tmp_path: Path) -> None:
    plain = trained(RUN, tmp_path)
    sampled = trained(run_with(softmax_sample=RUN.model.vocab), tmp_path)
    assert sampled[0].fingerprint != plain[0].fingerprint
    for step, loss in losses(plain[1]).items():
        assert losses(sampled[1])[step] == pytest.approx(loss, rel=1e-4)


def test_a_part_of_the_vocabulary_trains_and_gives_the_same_numbers_again(tmp_path: Path) -> None:
    spec = run_with(softmax_sample=8)
    first, folder = trained(spec, tmp_path / "a")
    _, again = trained(spec, tmp_path / "b")
    assert losses(folder) == losses(again)
    assert math.isfinite(first.metrics["test/loss"])


def test_a_sample_of_one_is_refused() -> None:
    with pytest.raises(SpecError, match=r"softmax_sample.*too few"):
        run_with(softmax_sample=1)


def test_what_a_stack_cannot_do_is_trained_alone() -> None:
    feedforward = replace(RUN.model.block.feedforward, dropout=0.0)  # type: ignore[union-attr]
    block = replace(RUN.model.block, feedforward=feedforward)  # type: ignore[type-var]
    spec = replace(RUN, model=replace(RUN.model, block=block))
    assert stack_key(spec) is not None
    assert stack_key(run_with(spec, softmax_sample=8)) is None
    assert stack_key(replace(spec, model=replace(spec.model, dropout=0.1))) is None
    text = replace(spec, model=replace(spec.model, vocab=256), task=Text(documents="reset"))
    assert stack_key(text) is None
    assert stack_key(replace(text, task=Text())) is not None
