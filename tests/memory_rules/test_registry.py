"""Names of rules: the table, a user's own file, entry points; the pages that speak of them."""

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from memory_rules import RULES, AbstractMemoryRule, load_rule, recurrent, register
from memory_rules.facts import RuleError
from memory_rules.papers import PAPERS, bibtex
from memory_rules.registry import ENTRY_POINT, _Registry
from memory_rules.testing import LAWS, check

DOCS = Path(__file__).parents[2] / "docs"
ISSUE = (
    "linear_attention retention ssd gla delta gated_delta momentum_delta longhorn ttt_linear "
    "ttt_mlp titans moneta yaad omega atlas"
)


def _example() -> str:
    page = (DOCS / "adding-a-rule.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    return next(b for b in blocks if "@register" in b)


@pytest.fixture
def leaky(tmp_path: Path) -> str:
    file = tmp_path / "leaky.py"
    file.write_text(_example(), encoding="utf-8")
    return f"{file}:Leaky"


def test_every_promised_rule_is_registered_under_its_kind() -> None:
    assert set(RULES) >= set(ISSUE.split())
    for kind, rule in RULES.items():
        assert rule.kind == kind
        assert re.fullmatch(r"arXiv:\d{4}\.\d{5}", rule.paper)
        assert rule().shapes(8)


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_rule_shows_its_equation_and_its_paper(kind: str) -> None:
    import sys

    text = sys.modules[RULES[kind].__module__].__doc__ or ""
    own = text + (RULES[kind].__doc__ or "")
    assert re.search(r"^\s*(memory_t|y)\s+=", text, flags=re.MULTILINE), "no equation"
    assert RULES[kind].paper in own


def test_the_example_of_the_page_is_short_and_holds_every_law(leaky: str) -> None:
    code = [line for line in _example().splitlines() if line.strip()]
    assert len(code) <= 20
    rule = load_rule(leaky)(chunk_size=3)  # type: ignore[call-arg]
    for law in LAWS:
        if not law.marks:
            verdict = check(rule, recurrent, law)
            assert verdict.passed, verdict


def test_a_users_file_is_not_made_global(leaky: str) -> None:
    rule = load_rule(leaky)
    assert rule.kind == "leaky"
    assert "leaky" not in RULES
    assert load_rule(leaky) is rule


def test_a_changed_file_is_read_again(leaky: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Python keeps what it compiles, of a file of the same second and size."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = load_rule(leaky)
    file = Path(leaky.rpartition(":")[0])
    file.write_text(_example().replace("delta: float = 1.0", "delta: float = 2.0"))
    second = load_rule(leaky)
    assert (first().delta, second().delta) == (1.0, 2.0)  # type: ignore[attr-defined]


def test_a_file_that_is_not_pythons_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(_example())
    with pytest.raises(ValueError, match="is not a Python file"):
        load_rule(f"{tmp_path / 'mine.txt'}:Leaky")


def test_a_rule_without_a_name_is_called_after_its_class(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(re.sub(r"@register\(.*\)\n", "", _example()))
    rule = load_rule(f"{file}:Leaky")
    assert (rule.kind, rule.paper) == ("leaky", "own")


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (None, "Leaky", "there is no file"),
        ("x = 1\n", "Leaky", "has no rule 'Leaky'; it has: none"),
        ("import nowhere\n", "Leaky", "does not run: ModuleNotFoundError: No module named"),
        ("def f(:\n", "Leaky", "does not run: SyntaxError"),
        ("import sys\nsys.exit(0)\n", "Leaky", "does not run: SystemExit: 0."),
        ("Leaky = 3\n", "Leaky", "has no rule 'Leaky'"),
        ("EXAMPLE", "Leaki", "has no rule 'Leaki'; it has: Leaky"),
    ],
)
def test_a_file_that_is_no_rule_says_what_is_wrong(
    tmp_path: Path, text: str | None, name: str, problem: str
) -> None:
    file = tmp_path / "own.py"
    if text is not None:
        file.write_text(_example() if text == "EXAMPLE" else text)
    with pytest.raises(ValueError, match=r"^kind: ") as error:
        load_rule(f"{file}:{name}")
    assert problem in str(error.value)


@pytest.mark.parametrize("reference", ["leaky.py", ":Leaky", "leaky.py:"])
def test_a_reference_needs_a_file_and_a_name(reference: str) -> None:
    with pytest.raises(ValueError, match=r"does not read like path/to/file\.py:ClassName"):
        load_rule(reference)


def test_one_name_means_one_rule() -> None:
    with pytest.raises(ValueError, match=r"'delta' is already the rule Delta"):

        @register("delta", paper="own")
        class Other(AbstractMemoryRule):
            pass


def test_entry_points_of_other_distributions_are_found(
    monkeypatch: pytest.MonkeyPatch, leaky: str
) -> None:
    rule = load_rule(leaky)

    monkeypatch.setattr(EntryPoint, "load", lambda _: rule)
    registry = _plugged_in(monkeypatch, EntryPoint("published", "strange:Leaky", ENTRY_POINT))
    assert list(registry) == ["published"]
    assert registry["published"] is rule


@pytest.mark.parametrize(
    ("value", "problem"),
    [("no_such_module:Rule", "ModuleNotFoundError: No module named"), ("", "is already the rule")],
)
def test_a_plug_in_that_does_not_load_is_named(
    monkeypatch: pytest.MonkeyPatch, leaky: str, value: str, problem: str
) -> None:
    if not value:
        monkeypatch.setattr(EntryPoint, "load", lambda _: load_rule(leaky))
    registry = _plugged_in(monkeypatch, EntryPoint("delta", value, ENTRY_POINT))
    registry._rules["delta"] = RULES["delta"]
    for _ in range(2):  # and again, not an empty table
        with pytest.raises(RuleError, match=f"the rule delta = {value}.* cannot be plugged in: "):
            list(registry)
    with pytest.raises(RuleError, match=problem):
        list(registry)


def _plugged_in(monkeypatch: pytest.MonkeyPatch, point: EntryPoint) -> _Registry:
    def points(*, group: str) -> list[EntryPoint]:
        assert group == ENTRY_POINT
        return [point]

    monkeypatch.setattr("memory_rules.registry.entry_points", points)
    return _Registry()


def test_every_paper_has_an_entry_and_no_entry_is_idle() -> None:
    used = {rule.paper.removeprefix("arXiv:") for rule in RULES.values()}
    assert used <= PAPERS.keys()
    assert PAPERS.keys() <= used
    keys = [p.key for p in PAPERS.values()]
    assert len(set(keys)) == len(keys)


def test_bibtex_is_one_entry_with_balanced_braces() -> None:
    for identifier in PAPERS:
        entry = bibtex(f"arXiv:{identifier}")
        assert entry.startswith("@misc{") and entry.endswith("}\n")
        assert entry.count("{") == entry.count("}")
        assert f"eprint = {{{identifier}}}" in entry
    with pytest.raises(ValueError, match=r"paper: 'own' has no entry"):
        bibtex("own")


def test_the_page_on_choosing_names_every_rule_and_no_other() -> None:
    page = (DOCS / "choosing-a-rule.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)`", page))
    assert set(RULES) <= named | {"ttt_linear"}
