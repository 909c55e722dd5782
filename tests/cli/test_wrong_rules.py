"""Rules of one's own with a mistake: one sentence and exit code 2, from every verb that loads."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from memory_rules import registry
from tests.cli.command import call

Capture = pytest.CaptureFixture[str]

RULE = """
from dataclasses import dataclass
import torch
from memory_rules import AbstractGradientRule

@dataclass(frozen=True, kw_only=True)
class Mine(AbstractGradientRule):
    chunk_size: int = 4
    def shapes(self, dim): return {"w": (dim, dim)}
    def read(self, dense, x): return dense("w", x)
    def objective(self, p, t): return (p - t).square().sum()
"""
MODEL = (
    "kind: model\nvocab: 16\ndim: 8\ndepth: 1\nblock: {kind: lmm, memory: {kind: mine.py:Mine}}\n"
)
SHAPES, READ, OBJECTIVE = RULE.splitlines()[-3:]
READS = "    def read(self, dense, x): return "

# (what stands there, what is written instead, the part that is named, the sentence)
MISTAKES = [
    ("    chunk_size: int = 4", "    anchor = 'tokens'", "anchor: ", "Did you mean 'token'?"),
    ("    chunk_size: int = 4", "    momentum = 'every'", "momentum: ", "Allowed: token, head"),
    ("    chunk_size: int = 4", "    momentum: str = 'every'", "momentum: ", "Allowed: token,"),
    (OBJECTIVE, "", "objective: ", "no attribute 'objective'. Say objective(self, prediction"),
    (OBJECTIVE, OBJECTIVE.replace(".sum()", ""), "objective: ", "[1, 1, 2, 64], not one number."),
    (OBJECTIVE, OBJECTIVE.replace("sum", "mean"), "objective: ", "of each alone"),
    (OBJECTIVE, OBJECTIVE.replace("sum", "summ"), "objective: ", "no attribute 'summ'"),
    (READ, READS + 'dense("v", x)', "read: ", "dense('v') is no matrix of shapes, which has 'w'."),
    (READ, READS + 'dense("w", torch.tanh(dense("w", x)))', "read: ", "calls dense('w') twice"),
    (READ, READS + 'dense("w", x[..., :3])', "read: ", "is given an x 3 wide; 'w' takes 64."),
    (READ, READS + "x", "read: ", "never calls dense('w')"),
    (SHAPES, SHAPES.replace("dim)}", "dim + 1)}"), "read: ", "gives [1, 1, 2, 65] for values"),
    (SHAPES, SHAPES.replace("(dim, dim)", "dim"), "shapes: ", "TypeError"),
    (SHAPES, "", "shapes: ", "does not say its shapes. Say shapes(self, dim)"),
    ("frozen=True, ", "", "fields: ", "unhashable type: 'Mine'. Put @dataclass(frozen=True"),
    ("@dataclass(frozen=True, kw_only=True)\n", "", "", "Mine is not a dataclass. Put @dataclass("),
]


def _write(folder: Path, old: str = "", new: str = "") -> tuple[Path, Path]:
    rule, model = folder / "mine.py", folder / "model.yaml"
    assert old in RULE
    rule.write_text(RULE.replace(old, new) if old else RULE)
    model.write_text(MODEL)
    return rule, model


@pytest.mark.parametrize(("old", "new", "part", "problem"), MISTAKES)
def test_a_mistake_in_a_rule_is_one_sentence(
    tmp_path: Path, capsys: Capture, old: str, new: str, part: str, problem: str
) -> None:
    rule, model = _write(tmp_path, old, new)
    for words in (("verify", f"{rule}:Mine"), ("check", model)):
        said = call(capsys, *words)
        assert said.code == 2, said
        assert problem in said.err
        assert "Traceback" not in said.err
        if part:
            assert f"{rule}: rule Mine: {part}" in said.err


def test_a_right_rule_passes_and_its_fields_are_tried_as_given(
    tmp_path: Path, capsys: Capture
) -> None:
    rule, model = _write(tmp_path, "    chunk_size", "    momentum: str = 'none'\n    chunk_size")
    assert call(capsys, "check", model).code == 0
    said = call(capsys, "check", model, "block.memory.momentum=every")
    assert said.code == 2
    assert f"block.memory: {rule}: rule Mine: momentum: 'every'" in said.err


def test_a_trial_leaves_the_random_numbers_as_they_were(tmp_path: Path, capsys: Capture) -> None:
    import torch

    _, model = _write(tmp_path, READ, READS + 'dense("w", x) + torch.rand_like(x)')
    before = torch.random.get_rng_state()
    assert call(capsys, "check", model).code == 0
    assert torch.equal(torch.random.get_rng_state(), before)


def test_debug_shows_where_a_rule_failed(tmp_path: Path, capsys: Capture) -> None:
    rule, _ = _write(tmp_path, OBJECTIVE, OBJECTIVE.replace("sum", "summ"))
    with pytest.raises(ValueError, match="no attribute 'summ'") as found:
        call(capsys, "verify", f"{rule}:Mine", "--debug")
    cause = found.value.__cause__
    assert cause is not None
    assert isinstance(cause.__cause__, AttributeError)


def test_a_plug_in_that_does_not_load_is_one_sentence(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("mine", "no_such_module:Mine", registry.ENTRY_POINT)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    monkeypatch.setattr(registry._registry, "_scanned", False)
    said = call(capsys, "check", _write(tmp_path)[1])
    assert said.code == 2
    assert "mine = no_such_module:Mine cannot be plugged in: ModuleNotFoundError" in said.err
    assert "Traceback" not in said.err
