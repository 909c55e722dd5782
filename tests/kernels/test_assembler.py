"""A ptxas that assembles wrongly is not used: another one is, or the reason is said."""

import os
from pathlib import Path

import pytest

from kernels import assembler
from memory_rules import RULES
from playground.compile import Target
from playground.compile.lowering.triton import TRITON

pytest.importorskip("triton")


def ptxas(folder: Path, version: str) -> Path:
    """A program that says which ptxas it is."""
    file = folder / f"ptxas-{version}"
    file.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {version}, V{version}.1'\n")
    file.chmod(0o755)
    return file


@pytest.fixture(autouse=True)
def nothing_packaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "_packaged", lambda: None)
    monkeypatch.delenv("DISABLE_MMA_V3", raising=False)
    monkeypatch.delenv("TRITON_PTXAS_PATH", raising=False)


@pytest.mark.parametrize(("version", "right"), [("12.8", False), ("13.2", False), ("13.4", True)])
def test_the_version_decides_on_hopper(
    version: str, right: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_PTXAS_PATH", str(ptxas(tmp_path, version)))
    why = assembler.wrong_on(9)
    assert (why == "") is right
    assert right or (version in why and "pip install" in why)
    assert assembler.wrong_on(8) == "" and assembler.wrong_on(10) == ""


def test_the_lowering_refuses_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_PTXAS_PATH", str(ptxas(tmp_path, "12.8")))
    rule, hopper = RULES["gated_delta"](), Target(device="cuda", capability=(9, 0))
    assert "ptxas 12.8" in TRITON.refuses(rule, hopper)
    monkeypatch.setenv("DISABLE_MMA_V3", "1")
    assert TRITON.refuses(rule, hopper) == ""


def test_the_package_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = ptxas(tmp_path, "13.4")
    monkeypatch.setattr(assembler, "_packaged", lambda: good)
    monkeypatch.setenv("TRITON_PTXAS_PATH", "")  # restored afterwards
    monkeypatch.delenv("TRITON_PTXAS_PATH")
    assert assembler.wrong_on(9) == ""
    assert os.environ["TRITON_PTXAS_PATH"] == str(good)
