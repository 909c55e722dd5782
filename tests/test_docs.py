"""What the pages on rules and tasks of one's own show runs as it stands, a step or two of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "name", "program", "run", "more"),
    [
        ("adding-a-rule.md", "leaky.py", ["-m", "playground"], "my_run.yaml", ["--batches", "1"]),
        ("data.md", "so_far.py", ["so_far.py"], "so_far.yaml", ["--length", "64"]),
    ],
)
def test_a_page_s_own_rule_and_own_task_train_and_are_scored(
    page: str, name: str, program: list[str], run: str, more: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(blocks(page, "python")[0], encoding="utf-8")
    (spec,) = (text for text in blocks(page, "yaml") if f"# {run}" in text)
    (tmp_path / run).write_text(spec, encoding="utf-8")
    words = ["train.steps=1", "train.eval_batches=1", "train.score_test=false"]
    for verb, options in (("train", []), ("eval", more)):
        done = subprocess.run(
            [sys.executable, *program, verb, run, *words, *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert "test/loss" in done.stdout
