"""DNA: sequences are read to their last base, folds are fair, 5-mers reach what was measured."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from playground.errors import DataError
from playground.spec.tasks import Dna
from playground.tasks import evaluate, make_task
from playground.tasks.dna import DnaTask, Oracle
from playground.tasks.dna_source import MOTIFS
from playground.tasks.kmers import kmer_counts, kmer_floor

DATA = Path(os.environ.get("PLAYGROUND_DATA", "/nowhere"))
PROMOTERS = "genomic_benchmarks/human_nontata_promoters_test.csv"
needs_promoters = pytest.mark.skipif(
    not (DATA / PROMOTERS).is_file(), reason="PLAYGROUND_DATA: no genomic_benchmarks/"
)


def write(path: Path, rows: list[tuple[str, str]]) -> str:
    text = "".join(f"{sequence},{label}\n" for sequence, label in rows)
    path.write_text("sequence,class\n" + text)
    return str(path)


def some(count: int, seed: int = 0, length: int = 20) -> list[tuple[str, str]]:
    letters = np.random.default_rng(seed).choice(list("ACGT"), (count, length))
    return [("".join(row), str(i % 2)) for i, row in enumerate(letters)]


def test_the_oracle_solves_the_generated_source() -> None:
    task = DnaTask(Dna())
    for split in ("train", "val", "test"):
        assert evaluate(task, Oracle(task), split)["accuracy"] == 1.0
    sequences = task.splits["train"].sequences
    assert len({len(sequence) for sequence in sequences}) == 1
    assert all(sequence.count(motif) == 1 for sequence in sequences for motif in MOTIFS)
    assert task.describe()["accuracy_of_5-mers"] < 0.7


def test_sequences_are_filled_up_at_their_left_and_end_with_the_sign(tmp_path: Path) -> None:
    rows = [("ACGT", "a"), ("acgtn", "b"), ("GG", "a"), ("TTT", "b")] * 30
    rows = [(s + "ACGT"[i % 4] * (i // 16), c) for i, (s, c) in enumerate(rows)]
    task = DnaTask(Dna(source=write(tmp_path / "x.csv", rows)))
    batch = task.batch("train", 0, 0, 40)
    assert batch.positions is not None
    assert (batch.tokens[:, -1] == 6).all()
    assert (batch.positions == batch.tokens.shape[1] - 1).all()
    letters = {tokens_to_text(row): 7 + "ab".index(c) for row, c in rows_of(rows)}
    for row, target in zip(batch.tokens, batch.targets[:, 0].tolist(), strict=True):
        assert letters["".join("-ACGTN"[i] for i in row[:-1].tolist()).lstrip("-")] == target


def rows_of(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(sequence.upper(), label) for sequence, label in rows]


def tokens_to_text(sequence: str) -> str:
    return "".join(c if c in "ACGT" else "N" for c in sequence)


def test_every_sequence_is_test_once_and_the_classes_are_even(tmp_path: Path) -> None:
    rows = some(400)
    rows += rows[:20]  # copies stay together
    source = write(tmp_path / "x.csv", rows)
    tasks = [DnaTask(Dna(source=source, fold=fold)) for fold in range(5)]
    tests = [task.splits["test"] for task in tasks]
    seen = Counter(sequence for part in tests for sequence in part.sequences)
    assert seen == Counter(sequence for sequence, _ in rows)
    for task, part in zip(tasks, tests, strict=True):
        assert 75 <= len(part.sequences) <= 95
        assert abs(part.labels.count("0") - part.labels.count("1")) < 10
        parts = [set(task.splits[split].sequences) for split in ("train", "val", "test")]
        assert len(set().union(*parts)) == sum(map(len, parts))
    again = DnaTask(Dna(source=source, fold=2)).splits
    assert again == tasks[2].splits


def test_an_epoch_reads_every_sequence_once_in_an_order_of_its_own() -> None:
    task = DnaTask(Dna())
    total = len(task.splits["train"].sequences)
    epochs = [task.batch("train", 0, index, total).tokens for index in (0, 1)]
    first, second = ({tuple(row) for row in epoch.tolist()} for epoch in epochs)
    assert first == second
    assert len(first) == total
    assert not torch.equal(*epochs)
    parts = [task.batch("train", 0, i, total // 4).tokens for i in range(4)]
    assert torch.equal(torch.cat(parts), epochs[0][: total // 4 * 4])


def test_the_other_strand_is_read_backwards_with_its_partners(tmp_path: Path) -> None:
    rows = [("AACG", "x"), ("AACGN", "y")] * 40
    rows = [(s + "ACGT"[i % 4] * (i // 8), c) for i, (s, c) in enumerate(rows)]
    source = write(tmp_path / "x.csv", rows)
    plain, turned = (DnaTask(Dna(source=source, reverse_complement=r)) for r in (False, True))
    before, after = plain.batch("train", 0, 0, 50), turned.batch("train", 0, 0, 50)
    partner = dict(zip("ACGTN-", "TGCAN-", strict=True))
    same = 0
    for one, other in zip(before.tokens.tolist(), after.tokens.tolist(), strict=True):
        text, found = ("".join("-ACGTN"[i] for i in row[:-1]).lstrip("-") for row in (one, other))
        assert found in (text, "".join(partner[c] for c in reversed(text)))
        same += found == text
        assert len(one) == len(other)
    assert 10 < same < 40
    test = [task.batch("test", 0, 0, 5).tokens for task in (plain, turned)]
    assert torch.equal(*test)


def test_folders_of_classes_are_read(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for i, (sequence, label) in enumerate(some(80, seed=len(split))):
            folder = tmp_path / "own" / split / ("positive" if label == "1" else "negative")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i}.txt").write_text(sequence + "\n")
    task = DnaTask(Dna(source=str(tmp_path / "own"), folds=0))
    assert task.classes == ["negative", "positive"]
    assert len(task.splits["test"].sequences) == 80
    assert len(task.splits["val"].sequences) == 4
    one = DnaTask(Dna(source=str(tmp_path / "own/train"), folds=4))
    assert len(one.splits["test"].sequences) == 20
    with pytest.raises(DataError, match=r"test part of its own. Write folds: 0"):
        DnaTask(Dna(source=str(tmp_path / "own")))
    with pytest.raises(DataError, match=r"no test part of its own. Write folds: 5"):
        DnaTask(Dna(source=str(tmp_path / "own/train"), folds=0))


def test_what_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("seq,label\nA,1\n")
    with pytest.raises(DataError, match=r"not the columns sequence and class \(it has seq, label"):
        DnaTask(Dna(source=str(tmp_path / "a.csv")))
    with pytest.raises(DataError, match="fewer than two classes"):
        DnaTask(Dna(source=write(tmp_path / "b.csv", [("ACG", "1")])))
    with pytest.raises(DataError, match="other letters than ASCII's"):
        DnaTask(Dna(source=write(tmp_path / "e.csv", [("AC\u00e9", "1"), ("ACG", "0")])))
    with pytest.raises(DataError, match="line 3 has no sequence or class"):
        DnaTask(Dna(source=write(tmp_path / "c.csv", [("ACG", "1"), ("", "0")])))
    with pytest.raises(DataError, match="has not two classes"):
        DnaTask(Dna(source=write(tmp_path / "d.csv", some(4))))
    with pytest.raises(DataError, match=r"task.source nowhere: there is no such"):
        DnaTask(Dna(source="nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no .txt file"):
        DnaTask(Dna(source=str(tmp_path / "empty")))


def test_counts_of_kmers_are_counts() -> None:
    counts = kmer_counts(["ACGTA", "NNAC", "A"], 2)
    names = [a + b for a in "ACGT" for b in "ACGT"]
    found = [{names[i]: int(n) for i, n in enumerate(row) if n} for row in counts]
    by_first = {name[::-1]: name for name in names}  # the first base counts least
    assert [{by_first[n]: c for n, c in one.items()} for one in found] == [
        {"AC": 1, "CG": 1, "GT": 1, "TA": 1},
        {"AC": 1},
        {},
    ]


def test_logistic_regression_learns_what_kmers_tell_and_nothing_else() -> None:
    train, test = some(300, 1, 40), some(100, 2, 40)
    rows = [tuple(zip(*part, strict=True)) for part in (train, test)]
    (xs, _), (ys, _) = rows
    told = [tuple(int("ACG" in s) for s in part) for part in (xs, ys)]
    nats, right = kmer_floor(xs, told[0], ys, told[1], 3)
    assert right > 0.85
    assert nats < 0.5
    untold = [tuple(i % 2 for i in range(len(part))) for part in (xs, ys)]
    assert kmer_floor(xs, untold[0], ys, untold[1], 3)[1] < 0.65


def test_floors_and_facts() -> None:
    task = DnaTask(Dna())
    floors = task.floors()
    assert floors["class_frequencies"] == pytest.approx(np.log(2), rel=1e-2)
    facts = task.describe()
    assert round(floors["5-mers_accuracy"], 4) == facts["accuracy_of_5-mers"]
    often = Counter(task.splits["train"].labels).most_common(1)[0][0]
    labels = task.splits["test"].labels
    assert floors["class_frequencies_accuracy"] == labels.count(often) / len(labels)
    assert json.loads(json.dumps(facts)) == facts


@needs_promoters
def test_the_promoters_have_the_published_counts() -> None:
    task = DnaTask(Dna(source=PROMOTERS))
    whole = task.source.parts["all"]
    assert Counter(whole.labels) == {"0": 4915, "1": 4119} or Counter(whole.labels) == {
        "1": 4915,
        "0": 4119,
    }
    assert task.length == 252
    assert len(task.splits["test"].sequences) == pytest.approx(9034 / 5, abs=3)


@needs_promoters
@pytest.mark.slow
def test_five_mers_reach_what_was_measured_on_the_promoters() -> None:
    right = [DnaTask(Dna(source=PROMOTERS, fold=fold))._kmers()[1] for fold in range(5)]
    assert np.mean(right) == pytest.approx(0.837, abs=0.01)


def test_the_task_is_registered() -> None:
    assert isinstance(make_task(Dna()), DnaTask)
