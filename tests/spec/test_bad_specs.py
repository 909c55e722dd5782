"""Broken specs: always a SpecError of one paragraph that names path, problem and fix."""

import pickle
from pathlib import Path

import pytest

from playground.errors import SpecError
from playground.spec import load, load_run
from tests.spec.mutations import Mutation, mutations

ALL = list(mutations())


def test_there_are_more_than_two_hundred_different_mutations():
    assert len({mutation.name for mutation in ALL}) == len(ALL) > 200


@pytest.mark.parametrize("mutation", ALL, ids=lambda mutation: mutation.name)
def test_a_broken_spec_gives_one_paragraph_with_path_problem_and_fix(
    mutation: Mutation, tmp_path: Path
):
    with pytest.raises(SpecError) as caught:
        load(mutation.write(tmp_path), *mutation.words)
    error, text = caught.value, str(caught.value)
    assert type(error) is SpecError
    assert error.path
    assert error.problem.endswith("."), error.problem
    assert error.fix or error.allowed, text
    assert "\n\n" not in text
    assert len(text) < 1200
    assert mutation.mentions in text


@pytest.mark.parametrize(
    "mutation", [m for m in ALL[::7] if not m.words], ids=lambda mutation: mutation.name
)
def test_the_same_holds_where_a_run_is_asked_for(mutation: Mutation, tmp_path: Path):
    with pytest.raises(SpecError):
        load_run(mutation.write(tmp_path), *mutation.words)


def test_the_error_survives_being_sent_to_another_process(tmp_path: Path):
    with pytest.raises(SpecError) as caught:
        load(ALL[0].write(tmp_path))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_a_misspelt_key_is_named_with_its_full_path_and_the_nearest_legal_one(tmp_path: Path):
    ALL[0].write(tmp_path)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "run.yaml", "model.block.memory.chunksize=8")
    first = str(caught.value).splitlines()[0]
    assert first == (
        "model.block.memory.chunksize: Titans has no such field. Did you mean 'chunk_size'?"
    )


def test_an_error_names_the_file_in_which_the_value_was_written(tmp_path: Path):
    ALL[0].write(tmp_path)
    (tmp_path / "good.yaml").write_text("extends: model.yaml\ndim: 128\n")
    (tmp_path / "model.yaml").write_text(
        (tmp_path / "model.yaml").read_text().replace('"depth": 2, "norm"', '"depth": "x", "norm"')
    )
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "good.yaml")
    assert caught.value.file.endswith("model.yaml")
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "good.yaml", "depth=y")
    assert "command line" in caught.value.file
