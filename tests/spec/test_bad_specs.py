"""Broken specs: always a SpecError of one paragraph that names path, problem and fix."""

import pickle
import re
from collections import Counter
from pathlib import Path

import pytest

from playground.errors import SpecError
from playground.spec import load, load_run
from playground.spec.raw import MOST_NAMES, parse_mapping
from tests.spec.mutations import Mutation, mutations, of_every_kind

ALL = list(mutations())


def test_there_are_more_than_two_hundred_different_mutations():
    assert len({mutation.name for mutation in ALL}) == len(ALL) > 200


def test_every_mutation_has_a_kind_and_something_that_must_be_mentioned():
    assert all(mutation.kind and mutation.mentions for mutation in ALL)


def test_every_kind_is_among_the_picked_ones_three_times_or_whole():
    kinds = Counter(mutation.kind for mutation in ALL)
    picked = Counter(mutation.kind for mutation in of_every_kind(ALL))
    assert all(picked[kind] >= min(3, size) for kind, size in kinds.items())


@pytest.mark.parametrize("mutation", ALL, ids=lambda mutation: mutation.name)
def test_a_broken_spec_gives_one_paragraph_with_path_problem_and_fix(
    mutation: Mutation, tmp_path: Path
):
    with pytest.raises(SpecError) as caught:
        load(mutation.write(tmp_path), *mutation.words)
    error, text = caught.value, str(caught.value)
    assert type(error) is SpecError
    assert text.startswith(f"{error.path}: {error.problem}")
    assert says_where(error, mutation, tmp_path), text
    assert error.problem.endswith("."), error.problem
    assert says_what_would_do(text.removeprefix(f"{error.path}: {error.problem}")), text
    assert "\n\n" not in text and text == text.strip()
    assert "Traceback" not in text
    assert len(text) < 1200
    message = text.partition("\n  in: ")[0].replace(str(tmp_path), "")
    assert mutation.mentions in message


def says_where(error: SpecError, mutation: Mutation, folder: Path) -> bool:
    """A file as it is, a field and what it was written in, or a word as it was given."""
    if error.path == str(folder / mutation.load):
        return True
    if not error.file:
        return any(word.startswith(error.path) for word in mutation.words)
    written = error.file == "key=value on the command line" or Path(error.file).parent == folder
    return written and bool(re.fullmatch(r"[^.\n]+(\.[^.\n]+)*", error.path))


def says_what_would_do(rest: str) -> bool:
    """What follows the problem: a sentence or a question, the allowed values, or both."""
    sentence, _, allowed = rest.partition("\n  in: ")[0].partition("\n  allowed: ")
    whole = re.fullmatch(r" [A-Z'].*[.?]", sentence)
    return bool(whole or allowed) and bool(whole or not sentence)


@pytest.mark.parametrize(
    "mutation", [m for m in ALL[::7] if not m.words], ids=lambda mutation: mutation.name
)
def test_the_same_holds_where_a_run_is_asked_for(mutation: Mutation, tmp_path: Path):
    with pytest.raises(SpecError):
        load_run(mutation.write(tmp_path), *mutation.words)


@pytest.mark.parametrize("count", [3, 110])
def test_a_missing_file_is_answered_with_the_few_names_that_are_most_like_it(
    count: int, tmp_path: Path
):
    for number in range(count):
        (tmp_path / f"model_{number:03}.yaml").write_text("kind: model\n")
    (tmp_path / "zebra.yaml").write_text("kind: model\n")
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "zebras.yaml")
    names = caught.value.fix.removeprefix("The folder has: zebra.yaml, model_000.yaml, ")
    assert names.count("model_") == min(count, MOST_NAMES - 1) - 1
    assert (f" and {count + 1 - MOST_NAMES} more." in names) is (count + 1 > MOST_NAMES)
    (tmp_path / "child.yaml").write_text("extends: zebras.yaml\n")
    with pytest.raises(SpecError, match=r"extends: .*no such file.* The folder has: zebra.yaml, "):
        load(tmp_path / "child.yaml")


def test_a_name_without_its_folders_is_answered_with_the_path(tmp_path: Path):
    (tmp_path / "specs/sweeps").mkdir(parents=True)
    (tmp_path / "specs/sweeps/demo.yaml").write_text("kind: sweep\n")
    for name in ("demo", "demo.yaml"):
        with pytest.raises(SpecError, match=r"Further down there is .*specs/sweeps/demo\.yaml\."):
            load(tmp_path / name)


LONG = "a" * 300
MODEL = "kind: model\ndim: 8\ndepth: 1\nblock: {kind: lmm, memory: {kind: %s}}\n"
RUN = "kind: run\nmodel: {dim: 8, depth: 1, block: {kind: none}}\ntask: {kind: text, corpus: %s}\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f"extends: {LONG}.yaml\n", "extends"),
        ('extends: "a\\0b.yaml"\n', "extends"),
        ('extends: "a\\n\\nb.yaml"\n', "extends"),
        (f"kind: run\nmodel: {LONG}.yaml\n", "model.extends"),
        (MODEL % f"{LONG}.py:Rule", "block.memory.kind"),
        (RUN % LONG, "task.corpus"),
        (RUN % '"a\\n\\nb"', "task.corpus"),
        (f"kind: bench\nrules: [{LONG}.py:Rule]\n", "rules"),
    ],
)
def test_what_can_be_no_path_is_an_error_of_its_key(text: str, path: str, tmp_path: Path):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "broken.yaml")
    assert caught.value.path == path
    assert caught.value.file.endswith("broken.yaml")
    assert caught.value.fix
    assert "\n\n" not in str(caught.value)


NO_PATHS = [f"{LONG}.yaml", "a/" * 3000, "a\n\nb.yaml", "~no-such-user/a.yaml"]


@pytest.mark.parametrize("name", NO_PATHS, ids=["long", "deep", "lines", "user"])
def test_the_name_of_a_file_that_can_be_none_is_an_error_in_one_paragraph(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as caught:
        load(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('kind: model\n"a\\n\\nb": 3\n', "a b"),
        ('kind: model\nblock: {memory: {"a \\r\\n b": 3}}\n', "block.memory.a b"),
        ('kind: sweep\nvariants: {"a\\u2028b": {dim: 3}}\n', "variants.a b"),
    ],
)
def test_a_key_of_several_lines_is_quoted_in_one(text: str, path: str, tmp_path: Path):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "broken.yaml")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["a\n\nb=3", "a\n\nb", "a\n\nb=[1", 'block={"a\\n\\nb": 3}'])
def test_a_word_of_several_lines_is_quoted_in_one(word: str, tmp_path: Path):
    ALL[0].write(tmp_path)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "model.yaml", word)
    assert "a b" in str(caught.value)
    assert "\n\n" not in str(caught.value)


def test_a_word_of_thousands_of_digits_is_quoted_in_part(tmp_path: Path):
    ALL[0].write(tmp_path)
    with pytest.raises(SpecError, match=r"9\.\.\.' .* Write a shorter number\.$") as caught:
        load(tmp_path / "model.yaml", "dim=" + "9" * 5000)
    assert len(str(caught.value)) < 200


CALLS = ["${oc.env:HOME}", "x ${ oc.env : HOME } y", "${dim.${oc.env:HOME}}", "${${how}:HOME}"]


@pytest.mark.parametrize("call", CALLS)
def test_a_reference_to_anything_but_a_key_of_the_file_is_refused(call: str, tmp_path: Path):
    path = tmp_path / "broken.yaml"
    path.write_text(f"kind: model\nhow: oc.env\nnorm: [{{a: '{call}'}}]\n")
    with pytest.raises(SpecError, match="may refer to keys of the same file only") as caught:
        load(path)
    assert caught.value.path == str(path)
    ALL[0].write(tmp_path)
    if "how" not in call:
        with pytest.raises(SpecError, match=r"^norm: .*keys of the same file only"):
            load(tmp_path / "model.yaml", f"norm='{call}'")


def test_what_only_looks_like_a_call_stays_as_it_is():
    text = "a: 1\nb: '${a}: ${a}'\nc: '\\${oc.env:HOME}'\nd: 'http://x.y/{z: 1}'\n"
    raw = {"a": 1, "b": "1: 1", "c": "${oc.env:HOME}", "d": "http://x.y/{z: 1}"}
    assert parse_mapping(text, "here") == raw


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
