"""Measurements in processes of their own."""

import pytest
import torch

from memory_rules import RULES
from playground.bench import Shape, make_problem, measure_first_compile, measure_memory
from playground.bench.child import in_child
from playground.bench.memory import count_bytes

RULE = RULES["titans"](chunk_size=16, expand=1.0)
SHAPE = Shape(batch=1, length=2048, heads=2, width=16)


@pytest.mark.slow
def test_a_child_has_our_threads_and_hands_back_its_errors() -> None:
    assert in_child(torch.get_num_threads) == torch.get_num_threads()
    with pytest.raises(ValueError, match="invalid literal"):
        in_child(int, "none")


def test_bytes_are_counted_from_shapes() -> None:
    one = make_problem(RULE, Shape(batch=1, length=1, heads=2, width=16))
    counts = count_bytes(RULE, one, SHAPE)
    assert counts["inputs"] == 3 * 2048 * 2 * 16 * 4
    assert counts["gates"] == 3 * 2 * 2048 * 2 * 4  # three gates, two matrices
    assert counts["states"] == 128 * 2 * (2 * 2 * 16 * 16) * 4  # memory and momentum


@pytest.mark.slow
def test_forward_and_backward_need_memory() -> None:
    found = measure_memory(RULE, SHAPE, compile=False)
    assert found.extra > found.states  # gradients and chunk states at least
    assert found.ratio > 0


@pytest.mark.slow
@pytest.mark.compile
def test_a_first_compile_on_a_cpu_is_of_programs_of_ours_and_of_no_graph() -> None:
    found = measure_first_compile(RULES["linear_attention"](), SHAPE)
    assert (found.graphs, found.graph_breaks) == (0, 0)
    assert found.forward_s > 0 and found.backward_s > 0
