"""Corpora: where they are found, how they are cut, what is refused."""

import hashlib
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from playground.errors import DataError
from playground.tasks.corpora import load_corpus, without_test

NANO = (0.9, 0.1, 0.0)


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_standard_library_is_split_by_file_without_tests() -> None:
    corpus = load_corpus("python-stdlib")
    assert min(map(len, corpus.parts.values())) > 50_000
    assert sum(map(len, corpus.parts.values())) > 3_000_000
    assert corpus.facts["python"] == sys.version.split()[0]
    together = b"".join(corpus.parts.values())
    assert b"class JSONDecoder" in together
    assert load_corpus("python-stdlib") is corpus


def test_a_standard_library_file_keeps_its_part_under_other_fractions() -> None:
    assert (
        load_corpus("python-stdlib", (0.9, 0.1, 0.0)).parts["train"]
        == (load_corpus("python-stdlib").parts["train"])
    )


def test_a_file_is_cut_in_three_contiguous_parts(tmp_path: Path) -> None:
    text = bytes(range(200)) * 5
    corpus = load_corpus(str(write(tmp_path / "a.bin", text)))
    assert corpus.facts["borders"] == {"train": [0, 900], "val": [900, 950], "test": [950, 1000]}
    assert b"".join(corpus.parts[part] for part in ("train", "val", "test")) == text
    assert corpus.sha256 == hashlib.sha256(text).hexdigest()


def test_an_empty_test_part_is_the_val_part(tmp_path: Path) -> None:
    corpus = load_corpus(str(write(tmp_path / "a.txt", "0123456789" * 10)), NANO)
    assert len(corpus.parts["train"]) == 90
    assert corpus.parts["test"] is corpus.parts["val"]


@pytest.mark.parametrize("extra", range(6))
def test_a_cut_never_falls_inside_a_character(tmp_path: Path, extra: int) -> None:
    text = "x" * extra + "\u20ac\U0001f600" * 40
    corpus = load_corpus(str(write(tmp_path / "a.txt", text)))
    assert "".join(part.decode() for part in corpus.parts.values()) == text


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a" * 100)
    first = load_corpus(str(path)).sha256
    write(path, "b" * 101)
    assert load_corpus(str(path)).sha256 != first


def test_a_path_is_also_looked_up_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "set" / "a.txt", "text " * 50)
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path))
    assert load_corpus("set/a.txt").facts["corpus"] == "set/a.txt"


def test_a_missing_path_names_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"no/such\.txt.*looked at.*PLAYGROUND_DATA"):
        load_corpus("no/such.txt")


def test_a_path_from_the_root_is_looked_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path))
    with pytest.raises(DataError) as found:
        load_corpus(str(tmp_path / "none.txt"))
    assert f"(looked at {tmp_path / 'none.txt'})." in str(found.value)
    assert "set PLAYGROUND_DATA" not in str(found.value)


@pytest.mark.parametrize("val", ["valid.txt", "val.txt", "validation.txt"])
def test_a_folder_gives_its_parts(tmp_path: Path, val: str) -> None:
    for name, text in {"train.txt": "aaa", val: "bb", "test.txt": "c"}.items():
        write(tmp_path / name, text)
    parts = load_corpus(str(tmp_path)).parts
    assert [parts[p] for p in ("train", "val", "test")] == [b"aaa", b"bb", b"c"]


def test_a_folder_without_test_scores_val(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "aaa")
    write(tmp_path / "val.txt", "bb")
    parts = load_corpus(str(tmp_path)).parts
    assert parts["test"] is parts["val"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (("a.txt",), "has no train.txt"),
        (("train.txt", "test.txt"), "has no val part"),
        (("train.txt", "val.txt", "valid.txt"), "has both"),
    ],
)
def test_an_incomplete_folder_is_refused(
    tmp_path: Path, files: tuple[str, ...], problem: str
) -> None:
    for name in files:
        write(tmp_path / name, "text")
    with pytest.raises(DataError, match=problem):
        load_corpus(str(tmp_path))


def test_fractions_for_a_corpus_that_comes_cut_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "aaa")
    write(tmp_path / "val.txt", "bb")
    with pytest.raises(DataError, match="comes with its own"):
        load_corpus(str(tmp_path), NANO)


class Rows:
    """What the loader uses of a data set's split."""

    def __init__(self, *texts: str, column: str = "text") -> None:
        self.column_names, self.texts = [column], list(texts)

    def __getitem__(self, column: str) -> list[str]:
        return self.texts


def hub(monkeypatch: pytest.MonkeyPatch, loaded: Any) -> list[tuple[object, ...]]:
    calls: list[tuple[object, ...]] = []

    def load_dataset(*args: object) -> Any:
        calls.append(args)
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    module = types.ModuleType("datasets")
    monkeypatch.setattr(module, "load_dataset", load_dataset, raising=False)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return calls


def test_a_hub_data_set_gives_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = hub(monkeypatch, {"train": Rows("a\n", "b"), "validation": Rows("c"), "extra": Rows()})
    parts = load_corpus("hf:some/set:raw").parts
    assert calls == [("some/set", "raw")]
    assert (parts["train"], parts["val"], parts["test"]) == (b"a\nb\n", b"c\n", b"c\n")


def test_a_hub_data_set_with_only_train_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = hub(monkeypatch, {"train": Rows("x" * 99)})
    assert len(load_corpus("hf:some/set", NANO).parts["val"]) == 10
    assert calls == [("some/set", None)]


@pytest.mark.parametrize(
    ("loaded", "problem"),
    [
        (RuntimeError("gone"), "could not be loaded.*gone"),
        ({"test": Rows("a")}, "no train split"),
        ({"train": Rows("a", column="body")}, "no column `text`.*body"),
    ],
)
def test_a_hub_data_set_that_cannot_be_used_says_why(
    monkeypatch: pytest.MonkeyPatch, loaded: Any, problem: str
) -> None:
    hub(monkeypatch, loaded)
    with pytest.raises(DataError, match=problem):
        load_corpus("hf:some/set")


def test_without_the_library_the_extra_and_a_local_path_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"extra `data`.*local file"):
        load_corpus("hf:some/set")


def test_whether_a_corpus_has_a_test_part_is_known_without_reading_it(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for file in ("train.txt", "valid.txt"):
        write(folder / file, "text " * 50)
    assert without_test(str(folder))
    assert load_corpus(str(folder)).parts["test"] == load_corpus(str(folder)).parts["val"]
    write(folder / "test.txt", "text " * 50)
    assert not without_test(str(folder))
    assert not without_test(str(folder / "train.txt"))
    assert without_test(str(folder / "train.txt"), NANO)
    for unread in ("python-stdlib", "hf:some/set", str(tmp_path / "none.txt")):
        assert not without_test(unread)
        assert without_test(unread, NANO)
