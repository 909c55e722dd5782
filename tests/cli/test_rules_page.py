"""The generated pages are fresh, and what they show is true."""

import re
from pathlib import Path

import pytest
import yaml

import playground as pg
from playground.cli.rules_page import own_rules, page, with_table

ROOT = Path(__file__).parents[2]
STALE = "stale: run `make docs`"


def test_the_page_of_rules_is_fresh() -> None:
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == page(), STALE


def test_the_table_of_the_readme_is_fresh() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_table(readme), STALE


def test_a_readme_without_a_place_for_the_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="rules: begin"):
        with_table("# nothing here\n")


def test_every_rule_has_a_section_whose_yaml_loads(tmp_path: Path) -> None:
    text = page()
    for kind in own_rules():
        section = text.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        (line,) = re.findall(r"^```yaml\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        path = tmp_path / f"{kind}.yaml"
        path.write_text(yaml.safe_dump({"kind": "model", "dim": 16} | yaml.safe_load(line)))
        spec = pg.load(path)
        assert isinstance(spec, pg.ModelSpec)
        assert {block.memory.rule.kind for block in spec.blocks()} == {kind}  # pyright: ignore


def test_a_rule_of_somebody_else_is_no_part_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from memory_rules.registry import _registry

    class Foreign(own_rules()["delta"]):
        pass

    monkeypatch.setitem(_registry._rules, "foreign", Foreign)
    assert "foreign" not in own_rules()
