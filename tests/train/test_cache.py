"""Slots of compiled programs: one process each, emptied after a kill."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_two_processes_have_two_slots_and_a_killed_ones_is_emptied(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from playground.train.cache import compile_cache\n"
        f"with compile_cache(Path({str(tmp_path)!r})) as slot:\n"
        "    (slot / 'half').touch(); print(slot, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    with compile_cache(tmp_path) as ours:
        assert ours != theirs
    process.kill()
    process.communicate()
    assert (theirs / "half").exists()
    with compile_cache(tmp_path) as again:
        assert again == theirs
        assert not (theirs / "half").exists()
