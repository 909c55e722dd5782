"""What the README shows runs, and files that any page names are there."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import playground as pg
from playground.cli.app import _load_verbs, app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "compiled",
    [pytest.param(True, marks=[pytest.mark.compile, pytest.mark.slow]), False],
    ids=["compiled", "eager"],
)
def test_the_python_runs_as_it_stands(
    compiled: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "\n".join(blocks("python"))
    if not compiled:
        code = code.replace("pg.compile(spec)", "pg.compile(spec, compile=False)")
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["logits"].shape == (2, 512, 256)
    assert "bytes per sequence" in capsys.readouterr().out


def test_the_yaml_is_a_sweep_that_loads(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "ablation.yaml"
    path.write_text(text.replace("specs/models/", f"{ROOT}/specs/models/"), encoding="utf-8")
    spec = pg.load(path)
    assert isinstance(spec, pg.SweepSpec)
    assert {run.variant for run in spec.expand()} == {"full", *spec.variants}


def test_every_link_leads_to_a_file() -> None:
    prose = re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)", prose):
        if "://" not in target:
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/data.md",
        "docs/evaluating.md",
        "docs/design.md",
        "docs/decisions.md",
    ],
)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    folders = "blocks|docs|kernels|memory_rules|playground|search|specs|tests"
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", text)
    gone = [name for name in named if not (ROOT / name).exists()]
    assert not gone


def data_named(raw: Any) -> Iterator[str]:
    """The values of all fields of a spec that name data."""
    for key, value in raw.items() if isinstance(raw, dict) else ():
        yield from data_named(value)
        if key in ("corpus", "source", "facts", "words") and isinstance(value, str):
            yield value


def test_every_file_of_data_that_a_spec_names_is_in_the_table_of_data() -> None:
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    known = {name.rstrip("/") for name in re.findall(r"`([^`]+)`", page)}
    files = [yaml.safe_load(file.read_text("utf-8")) for file in (ROOT / "specs").rglob("*.yaml")]
    named = {name for raw in files for name in data_named(raw)} - {"python-stdlib", "generated"}
    assert len(named) > 5
    assert not named - known


def test_extras_are_written_as_every_pip_finds_them() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(extras["optional-dependencies"])
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    sources = [*pages, *(ROOT / "playground").rglob("*.py"), *(ROOT / "search").rglob("*.py")]
    named = {
        name
        for file in sources
        for name in re.findall(r"pip install [^\n`]*?\[([a-z_-]+)\]'", file.read_text())
    }
    assert {"ray", "search", "data", "lm-eval"} <= named <= known
    assert not any("_" in name for name in known)


def test_the_table_of_verbs_has_every_verb() -> None:
    _load_verbs()
    verbs = {command.name for command in app.registered_commands}
    table = README.partition("| verb | does |")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert {name.split()[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)} == verbs


def test_the_commands_of_the_first_lines_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"^make (\S+)", README, re.MULTILINE):
        assert f"\n{command}:" in makefile
