"""A memory of which tokens write the last matrix alone; the others are learned and stay."""

import torch

from blocks.gates import Gates
from memory_rules import RULES, recurrent
from memory_rules.testing import make_inputs
from memory_rules.testing.inputs import fresh_state

LAST = RULES["titans"](written="last", depth=3, expand=2.0, chunk_size=3)
ALL = RULES["titans"](depth=3, expand=2.0, chunk_size=3)


def test_only_the_last_matrix_moves() -> None:
    start = fresh_state(LAST)
    _, end = recurrent(LAST, start, make_inputs(LAST))
    for name in ("w1", "w2"):
        assert torch.equal(end.memory[name], start.memory[name])
        assert not end.momentum[name].any()
    assert not torch.equal(end.memory["w3"], start.memory["w3"])


def test_it_is_the_whole_memory_with_the_other_gates_shut() -> None:
    x = make_inputs(ALL)
    for gate in ("lr", "decay", "momentum"):
        for name in ("w1", "w2"):
            x.gates[gate, name].zero_()
    want, end = recurrent(ALL, fresh_state(ALL), x)
    gates = x.gates.apply(lambda g: g)
    for gate in ("lr", "decay", "momentum"):
        for name in ("w1", "w2"):
            del gates[gate][name]
    found, last = recurrent(LAST, fresh_state(LAST), x.replace(gates=gates))
    assert torch.equal(found, want)
    assert torch.equal(last.memory["w3"], end.memory["w3"])


def test_matrices_that_no_token_writes_have_no_gates() -> None:
    assert set(Gates(LAST, 8, 2).heads) == {"lr_w3", "momentum_w3", "decay_w3"}
    assert len(Gates(ALL, 8, 2).heads) == 9


def test_the_starting_values_of_all_matrices_are_learned() -> None:
    start = fresh_state(LAST)
    leaves = {name: w.clone().requires_grad_() for name, w in start.memory.items()}
    weights = {name: w[0] for name, w in leaves.items()}
    y, _ = recurrent(LAST, LAST.initial_state(weights, {}, 2), make_inputs(LAST))
    for grad in torch.autograd.grad(y.square().sum(), list(leaves.values())):
        assert grad.abs().max() > 0
