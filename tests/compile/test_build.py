"""Models from specs: every form gives the same numbers, streams, and keeps its graph whole."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F

import playground as pg
from blocks.model import Model
from playground.compile.lowering import bodies
from tests.compile.test_plan import SPECS, spec

SMALL = ("dim=16", "depth=2", "vocab=32")
BARE = ("persistent_tokens=0", "block.feedforward.kind=none")  # Inductor has enough to do
ONE_PER_CLASS = {
    "A": ("linear_attention", *BARE),
    "B": ("gated_delta", *BARE),
    "C": ("titans_lmm",),
    "D": ("titans_lmm", "block.memory.inner=newton_schulz"),
    "D-dual": ("moneta",),
}


def small(name: str, *words: str) -> pg.ModelSpec:
    return spec(name, *SMALL, *words)


def logits(model: Model, tokens: torch.Tensor) -> torch.Tensor:
    found = model(tokens)
    assert isinstance(found, torch.Tensor)
    return found


def tokens(batch: int = 2, length: int = 40) -> torch.Tensor:
    return torch.randint(0, 32, (batch, length), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_chunked_equals_recurrent_in_every_model(path) -> None:
    segments = ("block.segment_len=16",) if "mac" in path.stem else ()  # three, and five tokens
    loaded = pg.load(path, "dim=16", "depth=3", "vocab=32", *segments)
    assert isinstance(loaded, pg.ModelSpec)
    x, found = tokens(1, 53), []
    for lowering in ("chunked", "recurrent"):
        model = pg.build(loaded, lowering=lowering).double()
        y = logits(model, x)
        F.cross_entropy(y[0, :-1], x[0, 1:]).backward()
        found.append((y, [p.grad for p in model.parameters()]))
    (y, grads), (oracle, oracle_grads) = found
    torch.testing.assert_close(y, oracle, rtol=1e-9, atol=1e-9)
    for g, o in zip(grads, oracle_grads, strict=True):
        assert (g is None) == (o is None)
        if g is not None and o is not None:
            torch.testing.assert_close(g, o, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ["titans_lmm", "titans_mac", "titans_mag", "titans_mal", "hybrid"])
@pytest.mark.parametrize("prompt", [1, 7, 16, 17, 63, 64, 65, 197])
def test_cached_decoding_equals_one_pass(name: str, prompt: int) -> None:
    model = pg.build(small(name)).double()
    x = tokens(1, prompt + 5)
    with torch.no_grad():
        whole = logits(model, x)
        y, state = model(x[:, :prompt], model.start(1))
        parts = [y]
        for i in range(prompt, prompt + 5):
            y, state = model(x[:, i : i + 1], state)
            parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-9, atol=1e-9)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    a, b, c = (pg.build(small("titans_lmm"), seed=s) for s in (0, 0, 1))
    for (n, p), q, r in zip(a.named_parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(p, q), n
        assert torch.equal(p, r) == (p.std() < 1e-6), n  # ones, zeros and gate biases are constants


def test_removing_a_part_changes_no_other_initial_weight() -> None:
    full = dict(pg.build(small("titans_lmm")).named_parameters())
    for words in (("block.memory.conv=0",), ("persistent_tokens=0",), ("block.memory.decay=none",)):
        for name, p in pg.build(small("titans_lmm", *words)).named_parameters():
            if name in full and p.shape == full[name].shape:
                assert torch.equal(p, full[name]), (words, name)


def outcome(model: Model, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits and every gradient of one training step."""
    y = logits(model, x)
    F.cross_entropy(y[:, :-1].flatten(0, 1), x[:, 1:].flatten()).backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {"logits": y.detach(), **found}


def rms(x: torch.Tensor) -> float:
    """Root of the mean square: steadier between two orders of summing than the largest entry."""
    return x.square().mean().sqrt().item()


@pytest.mark.compile
@pytest.mark.parametrize(
    ("letter", "form"),
    [
        *((letter, True if letter == "C" else "loops") for letter in ONE_PER_CLASS),
        # what is around the loops of the others is the same
        *(pytest.param(letter, True, marks=pytest.mark.slow) for letter in "AB"),
    ],
)
def test_a_compiled_model_is_as_near_to_fp64_as_an_eager_one(
    letter: str, form: Literal[True, "loops"]
) -> None:
    loaded = small(*ONE_PER_CLASS[letter], "depth=1")
    compiled = pg.compile(loaded, compile=form)
    models = (compiled, pg.build(loaded), pg.build(loaded).double())
    compiled, eager, exact = (outcome(m, tokens()) for m in models)
    assert compiled.keys() == eager.keys() == exact.keys()
    for name, truth in exact.items():
        scale = rms(truth)
        error, allowed = (rms(f[name] - truth) for f in (compiled, eager))
        assert error <= 2 * allowed + 2e-6 * scale, (name, error, allowed, scale)


@pytest.mark.compile
@pytest.mark.parametrize(
    ("name", "word", "loop"),
    [
        ("titans_lmm", "depth=1", True),
        ("titans_mac", "depth=1", True),
        ("gated_delta", "depth=1", True),
        ("momentum_delta", "block.memory.surprise_at=decayed_memory", False),
    ],
)
def test_loops_alone_can_be_compiled(
    name: str, word: str, loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    run = bodies.Body.run
    monkeypatch.setattr(
        bodies.Body, "run", lambda self, calls, form: ran.append(form) or run(self, calls, form)
    )
    loaded = small(name, word)
    models = [pg.compile(loaded, compile=c).double() for c in (False, "loops")]
    eager, ours = (outcome(m, tokens()) for m in models)
    assert ours.keys() == eager.keys()
    for key, want in eager.items():
        torch.testing.assert_close(ours[key], want, rtol=1e-9, atol=1e-9 * rms(want), msg=key)
    assert ("graph" in ran) == loop
    assert ("loop" in models[1].plan.node("blocks.0.memory").choice) == loop


@pytest.mark.compile
@pytest.mark.slow
def test_a_compiled_mac_trains_and_streams() -> None:
    model, eager = pg.compile(small("titans_mac")), pg.build(small("titans_mac"))
    x = tokens(2, 130)
    for m in (model, eager):
        F.cross_entropy(logits(m, x)[:, :-1].flatten(0, 1), x[:, 1:].flatten()).backward()
    for (n, p), q in zip(model.named_parameters(), eager.parameters(), strict=True):
        if p.grad is not None and q.grad is not None:
            torch.testing.assert_close(
                p.grad, q.grad, rtol=1e-3, atol=1e-5, msg=lambda m, n=n: f"{n}: {m}"
            )
    with torch.no_grad():
        y, state = model(x[:, :70], model.start(2))
        z, _ = model(x[:, 70:], state)
        torch.testing.assert_close(torch.cat([y, z], 1), logits(eager, x), rtol=1e-4, atol=1e-5)
