"""Runs trained as one program: the numbers of each alone, and every run's own end."""

import signal
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from blocks.spec import Attention, AttentionSpec, FeedForwardSpec, Identity, Lmm, MemorySpec
from memory_rules import RULES
from playground.compile import build, products, stack
from playground.compile.flops import flops_per_token
from playground.compile.lowering import bodies
from playground.compile.masks import GATES, LEARNED, host_of
from playground.errors import SpecError
from playground.spec import ModelSpec, RunSpec, Text
from playground.tasks.losses import CROSS_ENTROPY
from playground.train import Event, RunInterrupted, RunStore, replicas, train
from playground.train.replicas import (
    COMPILING_S,
    EAGER,
    GAIN,
    GAIN_OF_PRODUCTS,
    compiling_pays,
    stack_key,
)
from playground.train.run import train_together
from tests.train.small import MEMORY, RUN, losses

PLAIN = FeedForwardSpec(kind="gelu", expand=1.0)


def model_with(kind: str, **fields: object) -> ModelSpec:
    rule = RULES[kind](**fields)
    return replace(MEMORY, block=Lmm(memory=MemorySpec(rule=rule, heads=2), feedforward=PLAIN))


TITANS = model_with("titans", chunk_size=4, expand=1.0)
BASE = replace(RUN, model=TITANS)


def with_optim(spec: RunSpec, **fields: object) -> RunSpec:
    optim = replace(spec.train.optim, **fields)
    return replace(spec, train=replace(spec.train, optim=optim))


def several(spec: RunSpec = BASE) -> list[RunSpec]:
    """Two seeds, two rates, another decay, no clipping."""
    return [
        spec,
        replace(spec, seed=3),
        with_optim(replace(spec, seed=3), lr=3e-3),
        with_optim(spec, weight_decay=0.5, clip=0.0),
    ]


def compare(specs: Sequence[RunSpec], tmp_path: Path, near: float = 1e-5) -> None:
    found = train_together(specs, tmp_path / "together")
    for spec, one in zip(specs, found, strict=True):
        alone = train(spec, tmp_path / "alone")
        assert one.fingerprint == alone.fingerprint
        assert (one.replicas, alone.replicas) == (len(specs), 1)
        assert (one.params, one.tokens, one.steps) == (alone.params, alone.tokens, alone.steps)
        rows = [
            losses(RunStore(tmp_path / where).run(one.fingerprint))
            for where in ("together", "alone")
        ]
        assert rows[0] == pytest.approx(rows[1], rel=near, abs=near)
        assert one.metrics["test/loss"] == pytest.approx(alone.metrics["test/loss"], rel=near)


ONE_PER_CLASS = ("gla", "gated_delta", "titans", "atlas")
RULE_NAMES = [
    pytest.param(kind, marks=() if kind in ONE_PER_CLASS else pytest.mark.slow)
    for kind in sorted(RULES)
]


# a run of Moneta alone, its embedding moved by 1e-15, is 2e-11 off after 12 steps, 2e-5 after 48
STEPS = {"moneta": 6}


@pytest.mark.parametrize("kind", RULE_NAMES)
def test_fifty_steps_together_are_fifty_steps_alone(kind: str, tmp_path: Path):
    small = {"chunk_size": 6, "window": 2, "expand": 1.0}
    known = RULES[kind].__dataclass_fields__
    model = model_with(kind, **{name: value for name, value in small.items() if name in known})
    spec = replace(BASE, model=replace(model, depth=1), dtype="fp64")  # fp32 rounds differently
    steps = STEPS.get(kind, 50)
    train_spec = replace(spec.train, steps=steps, eval_every=steps, checkpoint_every=steps)
    compare(several(replace(spec, train=train_spec)), tmp_path, near=1e-9)


def without(spec: RunSpec, *parts: str) -> RunSpec:
    """The run without momentum, decay or conv."""
    memory = spec.model.block.memory  # pyright: ignore
    rule = replace(memory.rule, **{name: "none" for name in parts if name != "conv"})
    memory = replace(memory, rule=rule, conv=0 if "conv" in parts else memory.conv)
    block = replace(spec.model.block, memory=memory)  # pyright: ignore
    return replace(spec, model=replace(spec.model, block=block))


@pytest.mark.parametrize("network", ["mlp", "linear"])
def test_ablations_that_are_masks_are_one_program(network: str, tmp_path: Path):
    model = model_with("titans", chunk_size=4, expand=1.0, network=network)
    spec = replace(BASE, model=replace(model, depth=1), dtype="fp64")
    every = [("momentum",), ("decay",), ("conv",), ("momentum", "decay", "conv")]
    specs = [spec, *(without(spec, *parts) for parts in every)]
    assert len({stack_key(one) for one in specs}) == 1
    compare([*specs, replace(specs[1], seed=1)], tmp_path, near=1e-9)


SMALL = {"chunk_size": 4, "window": 2, "expand": 1.0}
CHOICES = [
    {"per_layer": False},
    {"decay_towards": "start", "lr_scale": "none"},
    {"network": "linear", "plain": True, "anchor": "token", "surprise_at": "decayed_memory"},
]


def maskable() -> list[tuple[str, str, dict[str, object]]]:
    """Every rule with a part that can be masked, and such choices of Titans."""
    found: list[tuple[str, str, dict[str, object]]] = []
    for kind in sorted(RULES):
        default = {f.name: f.default for f in fields(RULES[kind])}  # pyright: ignore
        chosen = {name: value for name, value in SMALL.items() if name in default}
        needed = ("momentum",) if kind == "atlas" else ()  # its last step orthogonalises it
        parts = [p for p in GATES if default.get(p) in LEARNED and p not in needed]
        found += [(kind, part, chosen) for part in parts]
    every = [("titans", part, SMALL | choice) for part in GATES for choice in CHOICES]
    return found + [(k, p, {n: v for n, v in c.items() if n != "window"}) for k, p, c in every]


@pytest.mark.parametrize(("kind", "part", "chosen"), maskable())
def test_a_masked_part_is_a_part_that_is_not_there(
    kind: str, part: str, chosen: dict[str, object], tmp_path: Path
):
    spec = replace(BASE, model=replace(model_with(kind, **chosen), depth=1), dtype="fp64")
    spec = replace(spec, train=replace(spec.train, steps=4, eval_every=4, checkpoint_every=4))
    other = without(spec, part)
    assert stack_key(spec) == stack_key(other)
    compare([spec, other], tmp_path, near=1e-10)


def test_what_nobody_has_is_not_computed():
    spec = without(BASE, "momentum", "conv")
    assert host_of([spec.model]) == spec.model
    assert host_of([spec.model, BASE.model]) == BASE.model
    conv = without(BASE, "momentum")
    assert host_of([spec.model, conv.model]) == conv.model


def test_attention_and_streaming_evaluation_are_stacked_too(tmp_path: Path):
    model = ModelSpec(
        vocab=256,
        dim=16,
        depth=2,
        block=Attention(attention=AttentionSpec(heads=2), window_len=8, feedforward=PLAIN),
    )
    text = tmp_path / "text.txt"
    text.write_text("".join(chr(97 + i * i % 23) for i in range(4000)))
    task = Text(corpus=str(text), length=16, stream_eval=True)
    compare(several(replace(BASE, model=model, task=task, dtype="fp64")), tmp_path, near=1e-9)


def test_a_run_that_fails_ends_alone(tmp_path: Path):
    wild = with_optim(replace(BASE, seed=9), lr=1e30, clip=0.0)
    good, bad = train_together([BASE, wild], tmp_path / "together")
    assert (good.ok, bad.ok) == (True, False)
    assert "at step" in (bad.reason or "")
    assert good.metrics["test/loss"] == pytest.approx(
        train(BASE, tmp_path / "alone").metrics["test/loss"], rel=1e-4
    )


@pytest.mark.parametrize("left", ["an older checkpoint", "none"])
def test_runs_that_are_cut_off_go_on_from_where_the_slowest_stood(tmp_path: Path, left: str):
    specs = [replace(spec, dtype="fp64") for spec in several()[:2]]
    whole = train_together(specs, tmp_path / "whole")

    def press(event: Event) -> None:
        if event.kind == "step" and event.step == 7:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(RunInterrupted, match="step 7"):
        train_together(specs, tmp_path / "cut", press)
    newest = RunStore(tmp_path / "cut").run(whole[1].fingerprint).checkpoints
    for step in newest.steps() if left == "none" else [7]:  # as if killed before it was written
        newest.folder.joinpath(f"step-{step:09d}.json").unlink()
    again = train_together(specs, tmp_path / "cut")
    for one, other in zip(whole, again, strict=True):
        assert one.metrics["test/loss"] == other.metrics["test/loss"]
        stores = (RunStore(tmp_path / name).run(one.fingerprint) for name in ("whole", "cut"))
        first, second = (losses(folder) for folder in stores)
        assert first == second


def test_a_run_that_failed_holds_nobody_back_when_the_others_go_on(tmp_path: Path):
    wild = with_optim(replace(BASE, seed=9), lr=1e30, clip=0.0)
    specs = [BASE, replace(BASE, seed=1), wild]

    def press(event: Event) -> None:
        if event.kind == "step" and event.step == 7:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(RunInterrupted, match="step 7"):
        train_together(specs, tmp_path, press)
    notes: list[str] = []
    found = train_together(specs, tmp_path, lambda event: notes.append(event.text))
    assert [result.ok for result in found] == [True, True, False]
    assert sum("after step 7" in text for text in notes) == 2


def test_what_is_finished_is_left_out_and_a_checkpoint_serves_both_ways(tmp_path: Path):
    specs = [replace(spec, dtype="fp64") for spec in several()[:3]]
    first = train(specs[0], tmp_path)
    found = train_together(specs, tmp_path)
    assert [result.replicas for result in found] == [1, 2, 2]
    assert found[0] == first


def test_runs_that_differ_in_more_than_seed_and_optimizer_are_refused(tmp_path: Path):
    other = replace(BASE, model=replace(TITANS, depth=1))
    assert stack_key(BASE) == stack_key(with_optim(replace(BASE, seed=4), lr=1e-4))
    assert stack_key(BASE) != stack_key(other)
    with pytest.raises(SpecError, match="differ in more than seed"):
        train_together([BASE, other], tmp_path)
    with_dropout = replace(RUN, model=MEMORY)
    assert stack_key(with_dropout) is None
    with pytest.raises(SpecError, match="cannot be stacked"):
        train_together([with_dropout, replace(with_dropout, seed=1)], tmp_path)


def test_members_are_views_of_the_stack():
    models = [build(TITANS, seed=seed) for seed in (0, 1)]
    weights, (stacked,) = stack(TITANS, models, compile=False)
    tokens = torch.arange(24).view(2, 2, 6)
    with torch.no_grad():
        weights.all["embedding.weight"].mul_(2.0)
        found = stacked(tokens)
        for r, model in enumerate(models):
            torch.testing.assert_close(found[r], model(tokens[r]), rtol=1e-5, atol=1e-5)


@pytest.mark.compile
def test_a_stack_with_a_loop_over_tokens_has_no_compiled_form():
    models = [build(TITANS, seed=seed) for seed in (0, 1)]
    assert len(stack(TITANS, models)[1]) == 2
    assert len(stack(TITANS, models, lowering="recurrent")[1]) == 1


# forward and backward: of the one persistent token, of what is left of its chunk, and of whole
# chunks; for gated delta of the one persistent token and of all others
@pytest.mark.compile
@pytest.mark.parametrize(("kind", "programs"), [("titans", 6), ("atlas", 6), ("gated_delta", 4)])
def test_loops_of_a_stack_are_programs(
    kind: str, programs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    given = bodies.make_program
    monkeypatch.setattr(bodies, "make_program", lambda *a: made.append(a) or given(*a))
    chunks = {} if kind == "gated_delta" else {"chunk_size": 3}  # that no other test has
    spec = model_with(kind, **chunks)
    models = [build(spec, seed=seed).double() for seed in (0, 1)]
    tokens = torch.arange(28).view(2, 1, 14)
    found = []
    for compile in (False, True):
        weights, forms = stack(spec, models, compile=compile)
        logits = forms[0](tokens)
        logits.square().sum().backward()
        found.append([logits.detach(), *(w.grad for w in weights.all.values())])
    assert len(made) == programs
    for eager, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, eager, rtol=1e-9, atol=1e-9 * float(eager.abs().max()))


@pytest.mark.compile
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "own"])
def test_head_and_loss_are_one_graph_of_the_same_numbers(tied: bool) -> None:
    spec = replace(MEMORY, block=Identity(), tie_embeddings=tied)
    models = [build(spec, seed=seed).double() for seed in (0, 1)]
    tokens = torch.arange(36).view(2, 2, 9) % spec.vocab
    targets = tokens.roll(1, -1).masked_fill(tokens == 3, -100)
    weights, forms = stack(spec, models)
    summed = partial(CROSS_ENTROPY.summed, stacked=True)
    found = []
    for form in forms:
        losses = form.losses(tokens, targets, summed)
        grads = torch.autograd.grad(losses.sum(), list(weights.all.values()), allow_unused=True)
        found.append([losses.detach(), *(g for g in grads if g is not None)])
    alone = [CROSS_ENTROPY.summed(m(x), y) for m, x, y in zip(models, tokens, targets, strict=True)]
    torch.testing.assert_close(found[0][0], torch.stack(alone).detach())
    for compiled, eager in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(compiled, eager)
    places = torch.tensor([[[0, 4], [1, 2]], [[3, 5], [6, 8]]])  # an eager head, in every form
    some = targets.gather(2, places)
    given = [form.losses(tokens, some, summed, positions=places) for form in forms]
    wanted = [
        CROSS_ENTROPY.summed(m(x, positions=p), y)
        for m, x, y, p in zip(models, tokens, some, places, strict=True)
    ]
    for each in given:
        torch.testing.assert_close(each, torch.stack(wanted))


@pytest.mark.compile
def test_stacks_of_one_shape_share_their_graphs() -> None:
    torch.compiler.reset()
    spec, graphs = replace(MEMORY, block=Identity()), []
    tokens = torch.arange(36).view(2, 2, 9) % spec.vocab
    for seed in range(3):
        form = stack(spec, [build(spec, seed=seed), build(spec, seed=seed + 1)])[1][1]
        form.losses(tokens, tokens, partial(CROSS_ENTROPY.summed, stacked=True))
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[1] == graphs[2] > 0


@pytest.mark.slow
@pytest.mark.compile
def test_the_compiled_form_ends_where_the_eager_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replicas, "COMPILING_S", 0.0)
    spec = replace(BASE, compile=True, train=replace(BASE.train, steps=120, eval_every=60))
    spec = with_optim(spec, lr=1e-3)  # at 1e-2 rounding grows to 3 % of the loss in 120 steps
    specs = [spec, replace(spec, seed=1)]
    found = train_together(specs, tmp_path)
    assert all(result.ok for result in found)
    alone = train(replace(spec, compile=False), tmp_path)
    assert found[0].metrics["test/loss"] == pytest.approx(alone.metrics["test/loss"], rel=1e-4)


def test_a_stack_is_compiled_by_its_work_whatever_the_clock_says() -> None:
    def members(steps: float, count: int) -> list[Any]:
        spec = replace(BASE, train=replace(BASE.train, steps=int(steps)))
        return [SimpleNamespace(spec=spec, model=build(spec.model), step=int(steps) - 1)] * count

    each = 3 * flops_per_token(build(BASE.model).plan, BASE.example_length) * BASE.tokens_by(1)
    enough = EAGER * COMPILING_S / (GAIN + GAIN_OF_PRODUCTS * products.pays()) / each  # steps
    assert not compiling_pays(members(0.3 * enough, 3))
    assert compiling_pays(members(0.6 * enough, 3))  # although one step is left
    assert not compiling_pays(members(0.6 * enough, 1))
