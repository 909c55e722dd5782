"""Slots of compiled programs: one process each, emptied after a kill."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from playground.train.cache import VARIABLE, compile_cache


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_a_slot_is_used_again_and_keeps_its_programs(tmp_path: Path):
    with compile_cache(tmp_path) as slot:
        assert slot is not None
        assert os.environ[VARIABLE] == str(slot)
        (slot / "program").touch()
    assert VARIABLE not in os.environ
    with compile_cache(tmp_path) as again:
        assert again == slot
        assert (slot / "program").exists()


def test_a_slot_inside_a_slot_is_the_same_one(tmp_path: Path):
    with compile_cache(tmp_path) as slot, compile_cache(tmp_path) as inner:
        assert inner is None
        assert os.environ[VARIABLE] == str(slot)


def test_a_folder_that_the_user_chose_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, "mine")
    with compile_cache(tmp_path) as slot:
        assert slot is None
        assert os.environ[VARIABLE] == "mine"


COMPILE = """
import sys
from pathlib import Path
from typing import Any
import torch
from torch._dynamo.callback import CallbackArgs, CallbackTrigger, callback_handler
from playground.train.cache import compile_cache

with compile_cache(Path(sys.argv[1])) as slot:
    (slot / "program").touch()
    with callback_handler.install_callbacks(CallbackTrigger.DYNAMO, "0/0"):
        if sys.argv[2] == "compiling":
            print(slot, flush=True)
            sys.stdin.read()
    print(slot, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("killed_while", ["compiling", "training"])
def test_a_slot_is_emptied_only_if_its_process_was_killed_while_compiling(
    tmp_path: Path, killed_while: str
):
    process = subprocess.Popen(
        [sys.executable, "-c", COMPILE, str(tmp_path), killed_while],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    with compile_cache(tmp_path) as ours:
        assert ours != theirs
    process.kill()
    process.communicate()
    assert (theirs / "program").exists()
    with compile_cache(tmp_path) as again:
        assert again == theirs
        assert (theirs / "program").exists() == (killed_while == "training")


def test_what_is_compiled_inside_is_marked_meanwhile(tmp_path: Path):
    seen: list[bool] = []

    def backend(graph: Any, example: Any) -> Any:
        seen.append(any(tmp_path.glob("*.busy")))
        return graph.forward

    with compile_cache(tmp_path):
        torch.compile(lambda x: x + 1, backend=backend)(torch.ones(2))
        assert not any(tmp_path.glob("*.busy"))
    assert seen == [True]
