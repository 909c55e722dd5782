"""Times are quantiles of calls that count, and what is compared takes turns."""

import pytest
import torch

from playground.bench import Peak, Times, measure, measure_peak, measure_together


def test_quantiles_lie_between_the_samples() -> None:
    times = Times.of([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (times.median, times.fastest, times.repeats) == (3.0, 1.0, 5)
    assert times.p20 == pytest.approx(1.8)
    assert times.p80 == pytest.approx(4.2)


def test_one_sample_is_its_own_quantiles() -> None:
    times = Times.of([2.0])
    assert times.median == times.p20 == times.p80 == times.fastest == 2.0


def test_warmup_calls_do_not_count_and_the_device_is_awaited() -> None:
    calls: list[str] = []
    times = measure(
        lambda: calls.append("call"), warmup=2, repeats=3, sync=lambda: calls.append("sync")
    )
    assert times.repeats == 3
    assert calls == ["call"] * 2 + ["sync", "call", "sync"] * 3


def test_functions_that_are_compared_take_turns() -> None:
    calls: list[str] = []
    functions = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    found = measure_together(functions, warmup=1, repeats=4)
    assert calls == list("ab") + list("ab") + list("ba") + list("ab") + list("ba")
    assert set(found) == {"a", "b"}


def test_a_peak_is_positive_and_the_better_of_two() -> None:
    peak = measure_peak(sizes=(32, 64), repeats=2)
    assert peak.flops_per_s > 0
    assert peak.bytes_per_s > 0
    faster = Peak(flops_per_s=2 * peak.flops_per_s, bytes_per_s=1.0, size=7)
    both = peak.better_of(faster)
    assert (both.flops_per_s, both.bytes_per_s, both.size) == (
        faster.flops_per_s,
        peak.bytes_per_s,
        7,
    )
    assert torch.get_num_threads() > 0
