"""Long streams: read in pieces they score the same, and their marks stand at powers of two."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from playground.errors import PlaygroundError, SpecError
from playground.spec import RunSpec, Text
from playground.tasks import Ask, Reader, make_task
from playground.train import evaluate, restore
from playground.train.streaming import Meter, Pace
from tests.train.small import MEMORY, RUN, run_with, trained

CORPUS = "".join(chr(97 + (i * i + i // 7) % 20) for i in range(6000))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, Path]:
    folder = tmp_path_factory.mktemp("stream")
    (folder / "a.txt").write_text(CORPUS)
    task = Text(corpus=str(folder / "a.txt"), tokenizer="chars", length=32)
    spec = run_with(replace(RUN, model=MEMORY, task=task), steps=2, eval_every=2)
    return spec, trained(spec, folder / "runs")[1].path


def test_a_stream_is_as_long_as_asked_and_reads_the_text_again(run: tuple[RunSpec, Path]) -> None:
    spec, folder = run
    paces: list[Pace] = []
    meter = Meter(2048, torch.device("cpu"), tell=paces.append)
    scores = evaluate(folder, spec=spec, length=2048, meter=meter)
    marks = meter.marks
    assert [mark.tokens for mark in marks] == [1024, 2048]
    assert marks[0].state_bytes == marks[1].state_bytes > 0
    assert marks[0].peak_bytes <= marks[1].peak_bytes
    assert all(mark.tokens_per_s > 0 for mark in marks)
    assert (paces[-1].tokens, paces[-1].total, paces[-1].eta_s) == (2048, 2048, 0.0)
    assert scores["repeats"] == pytest.approx(2048 / 300)


def test_a_repeated_text_is_the_text_written_out(run: tuple[RunSpec, Path]) -> None:
    spec, folder = run
    text = make_task(spec.task).encoded["test"].tokens  # type: ignore[attr-defined]
    model = restore(folder, spec)
    tokens = torch.from_numpy(text).long().repeat(3)[None, :701]
    with torch.no_grad():
        logits = model(tokens[:, :-1])
    expected = torch.nn.functional.cross_entropy(logits[0], tokens[0, 1:])
    found = evaluate(folder, spec=spec, length=700)
    assert found["loss"] == pytest.approx(float(expected), rel=1e-4)


def test_buckets_of_positions_add_up_to_the_loss(run: tuple[RunSpec, Path]) -> None:
    spec, folder = run
    scores = evaluate(folder, spec=spec, length=300, by_position=True)
    buckets = {name: value for name, value in scores.items() if "@" in name}
    assert list(buckets) == ["loss@0-64", "loss@64-128", "loss@128-256", "loss@256-512"]
    total = sum(n * loss for n, loss in zip((64, 64, 128, 44), buckets.values(), strict=True))
    assert total / 300 == pytest.approx(scores["loss"], rel=1e-6)
    assert "loss@0-64" in evaluate(folder, spec=spec, by_position=True)


def test_frozen_and_writing_memories_differ(run: tuple[RunSpec, Path]) -> None:
    spec, folder = run
    frozen = evaluate(folder, spec=spec, length=512, freeze_memory=True)
    assert frozen["loss"] != evaluate(folder, spec=spec, length=512)["loss"]


def test_one_stream_has_no_batches_and_none_is_no_number_of_them(
    run: tuple[RunSpec, Path],
) -> None:
    spec, folder = run
    with pytest.raises(SpecError, match="length: one stream has no batches"):
        evaluate(folder, spec=spec, length=2048, batches=1)
    for batches in (0, -1):
        with pytest.raises(PlaygroundError, match=f"batches: {batches} leaves nothing"):
            evaluate(folder, spec=spec, batches=batches)


def test_the_clock_of_a_stream_starts_where_reading_begins(run: tuple[RunSpec, Path]) -> None:
    spec, folder = run
    meter = Meter(1024, torch.device("cpu"))
    meter._began -= 1000.0  # as if all before had taken so long
    meter._marked -= 1000.0
    evaluate(folder, spec=spec, length=1024, meter=meter)
    assert meter.marks[0].seconds < 500 and meter.marks[0].tokens_per_s > 1024 / 500


def test_a_task_without_text_has_no_loss_by_position(tmp_path: Path) -> None:
    spec = run_with(replace(RUN, model=MEMORY), steps=1)
    _, folder = trained(spec, tmp_path)
    with pytest.raises(SpecError, match="no loss by position"):
        evaluate(folder.path, spec=spec, by_position=True)


def test_answers_at_positions_are_the_same_in_pieces(run: tuple[RunSpec, Path]) -> None:
    model = restore(run[1], run[0])
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 20, (3, 50), generator=generator)
    positions = torch.tensor([[0, 7, 31, 49], [8, 9, 10, 48], [0, 1, 2, 3]])
    batch = make_task(RUN.task).batch("val", 0, 0, 1)
    ask = Ask(
        batch=replace(batch, tokens=tokens, positions=positions), carry=False, done=1, total=1
    )
    seen: list[int] = []
    with torch.no_grad():
        (whole,) = Reader(model)([ask])  # type: ignore[arg-type]
        reader = Reader(model, piece=16, watch=lambda read, state: seen.append(read))  # type: ignore[arg-type]
        (pieces,) = reader([ask])
    assert seen == [16, 32, 48, 50]
    assert torch.allclose(whole, pieces, 0, 1e-4)


def test_a_meter_marks_only_the_first_of_several_streams() -> None:
    class State:
        batch_size = torch.Size([1])

        def num_bytes(self) -> int:
            return 7

    paces: list[Pace] = []
    meter = Meter(3000, torch.device("cpu"), streams=2, tell=paces.append)
    for _ in range(2):
        for read in (1000, 2000, 3000):
            meter(read, State())
    assert [mark.tokens for mark in meter.marks] == [2000, 3000]
    assert [pace.tokens for pace in paces] == [1000, 2000, 3000, 4000, 5000, 6000]
