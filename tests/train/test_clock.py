"""What a run says of its speed and of the time it still takes."""

from collections.abc import Iterator

import pytest

from playground.train.clock import Clock


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A time that stands still until a test moves it."""
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    yield now


def run(clock: Clock, seconds: list[float], step_s: list[float], tokens: int) -> None:
    for taken in step_s:
        seconds[0] += taken
        clock.count(taken, tokens)


def test_no_pace_before_the_second_step(seconds: list[float]):
    clock = Clock()
    assert clock.eta_s(0, 10, float) is None
    run(clock, seconds, [30.0], 8)
    assert clock.eta_s(1, 10, float) is None
    assert clock.tokens_per_s() is None


def test_steps_that_read_as_much_each_take_as_long(seconds: list[float]):
    clock = Clock()
    run(clock, seconds, [30.0, 2.0, 2.0], 8)
    assert clock.eta_s(3, 10, lambda step: 8.0 * step) == pytest.approx(14.0)
    assert clock.tokens_per_s() == pytest.approx(4.0)


def test_longer_steps_to_come_are_counted_as_longer(seconds: list[float]):
    clock = Clock()
    run(clock, seconds, [30.0, 2.0, 2.0], 8)
    # eight tokens a step until step 5, 32 after it
    left = clock.eta_s(3, 10, lambda step: 8.0 * min(step, 5) + 32.0 * max(0, step - 5))
    assert left == pytest.approx(2 * 2.0 + 5 * 8.0)


def test_a_resumed_run_goes_by_its_own_steps(seconds: list[float]):
    clock = Clock()
    run(clock, seconds, [30.0, 3.0], 8)  # steps 6 and 7, of which the second is timed
    assert clock.eta_s(7, 10, lambda step: float(step**2)) == pytest.approx(51 * 3.0 / 13)
