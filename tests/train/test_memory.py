"""What is seen of the memories: logs, traces, freezing."""

import torch

from playground.compile import build
from playground.tasks import make_task
from playground.train.memory import frozen_memory, memories, memory_log, trace
from tests.train.small import ATTENTION, MEMORY, TASK


def tokens() -> torch.Tensor:
    return make_task(TASK).batch("val", 0, 0, 1).tokens


def test_a_model_without_memories_logs_nothing():
    assert memory_log(build(ATTENTION), make_task(TASK).batch("val", 0, 0, 2)) == []


def test_a_trace_has_one_value_per_token_and_changes_no_logit():
    model = build(MEMORY).eval()
    with torch.no_grad():
        before = model(tokens())
        layers = trace(model, tokens())
        after = model(tokens())
    assert torch.equal(before, after)
    assert [layer.name for layer in layers] == list(memories(model))
    for layer in layers:
        values = [layer.written, layer.read, layer.memory, *layer.gates.values()]
        assert all(len(value) == tokens().shape[1] for value in values)
        assert min(layer.written) > 0
        assert set(layer.gates) == {"lr", "momentum", "decay"}


def test_the_first_trace_row_is_what_the_first_token_wrote():
    model = build(MEMORY).eval()
    whole, first = trace(model, tokens()), trace(model, tokens()[:, :1])
    torch.testing.assert_close(whole[0].written[0], first[0].written[0])


def test_a_frozen_memory_is_read_and_not_written():
    model = build(MEMORY).eval()
    state = model.start(1)
    with torch.no_grad(), frozen_memory(model):
        _, after = model(tokens(), state)
    for block in ("0", "1"):
        was, now = state.blocks[block].rule.memory, after.blocks[block].rule.memory
        assert all(torch.equal(was[n], now[n]) for n in was.keys())  # noqa: SIM118
    with torch.no_grad():
        _, written = model(tokens(), state)
    assert not any(layer.frozen for layer in memories(model).values())
    was, now = state.blocks["0"].rule.memory, written.blocks["0"].rule.memory
    assert not any(torch.equal(was[n], now[n]) for n in was.keys())  # noqa: SIM118
