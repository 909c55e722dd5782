"""The page of all rules, docs/rules.md, and the README's table of them: written from the rules.

`python -m playground.cli.rules_page` (make docs) writes both; a test fails while they are stale.
"""

import inspect
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from memory_rules import RULES, AbstractMemoryRule
from memory_rules.networks import NETWORKS
from playground.compile import LOWERINGS, Target, classify

BEGIN, END = "<!-- rules: begin -->", "<!-- rules: end -->"
TARGETS = (Target(device="cpu"), Target(device="cuda"))
# what may move a rule into another class, tried in this order where the rule has the fields
CHOICES: tuple[dict[str, Any], ...] = (
    {"anchor": "passes:2"},
    {"anchor": "token"},
    {"anchor": "token", "network": "linear", "plain": True},
    {"anchor": "token", "network": "linear", "plain": True, "objective": "dot"},
    {"inner": "newton_schulz"},
)
# values of fields that are text; a rule's page lists those that it takes
TEXTS: dict[str, tuple[str, ...]] = {
    "anchor": ("chunk", "token", "passes:2"),
    "decay": ("token", "channel", "value_channel", "head", "fixed:0.01", "none"),
    "lr": ("token", "head", "fixed:0.01", "none"),
    "momentum": ("token", "head", "fixed:0.9", "none"),
    "network": tuple(sorted(NETWORKS)),
}
HEAD = """\
# Rules

Generated from the code by `make docs`. Gates are learned from the token unless a field says
otherwise; a class says which chunk form is exact ([design](design.md#classes)); a linear memory is
one square matrix per head. How to choose: [choosing a rule](choosing-a-rule.md); how to add one:
[adding a rule](adding-a-rule.md).
"""


def own_rules() -> dict[str, type[AbstractMemoryRule]]:
    """The rules of this project by name; not those that somebody registered beside them."""
    return {
        kind: RULES[kind]
        for kind in sorted(RULES)
        if _module(RULES[kind]).startswith("memory_rules.")
    }


def page() -> str:
    """docs/rules.md."""
    sections = [_section(kind, rule) for kind, rule in own_rules().items()]
    return "\n".join([HEAD, summary_table(link="#"), *sections])


def summary_table(link: str = "docs/rules.md#") -> str:
    """One line per rule: name, class, paper, what it is."""
    lines = ["| rule | class | paper | what it is |", "|---|---|---|---|"]
    for kind, rule in own_rules().items():
        first, _ = _docstring(rule)
        what = first.partition(" (arXiv")[0].partition(" (MIRAS")[0].rstrip(".")
        lines.append(
            f"| [`{kind}`]({link}{kind}) | {classify(rule())[0]} | {_paper(rule)} | {what} |"
        )
    return "\n".join(lines) + "\n"


def with_table(readme: str) -> str:
    """The README with its table of rules renewed.

    Raises:
        ValueError: it has no place for the table.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md: has no {BEGIN} ... {END}.")
    return f"{before}{BEGIN}\n{summary_table()}{END}{after}"


def _module(rule: type[AbstractMemoryRule]) -> str:
    return rule.__module__


def _paper(rule: type[AbstractMemoryRule]) -> str:
    name = rule.paper.removeprefix("arXiv:")
    return f"[{name}](https://arxiv.org/abs/{name})"


def _docstring(rule: type[AbstractMemoryRule]) -> tuple[str, str]:
    """The first line of a rule's file, and the rest of its docstring: the equations."""
    module = inspect.getmodule(rule)
    text = (module.__doc__ if module is not None else None) or rule.__doc__ or ""
    first, _, rest = text.partition("\n")
    return first.strip(), rest.strip("\n").rstrip()


def _section(kind: str, rule: type[AbstractMemoryRule]) -> str:
    first, equations = _docstring(rule)
    parts = [
        f"## {kind}\n\n{first}\n",
        f"```text\n{equations}\n```\n",
        f"```yaml\nblock: {_yaml(rule)}\n```\n",
        f"Paper: {_paper(rule)}. Memory of a head of width d: {_shapes(rule)}.\n",
        *_classes(rule),
        _fields(rule),
        _gates(rule),
        _lowerings(rule),
    ]
    return "\n".join(parts)


def _yaml(rule: type[AbstractMemoryRule]) -> str:
    keys = [f"kind: {rule.kind}"]
    keys += [
        f"{f.name}: {getattr(rule(), f.name)}" for f in _own_fields(rule) if f.name == "chunk_size"
    ]
    return f"{{kind: lmm, memory: {{{', '.join(keys)}, heads: 4}}}}"


def _shapes(rule: type[AbstractMemoryRule]) -> str:
    """The fast weights of one head, in terms of d; exact for the default expansions."""
    dim = 64
    words = {dim: "d", dim + 1: "d + 1"}

    def side(n: int) -> str:
        if n in words:
            return words[n]
        return f"{n // dim} d" + (f" + {n % dim}" if n % dim else "") if n > dim else str(n)

    made = rule().shapes(dim).items()
    return ", ".join(f"`{name}` {side(i)} x {side(o)}" for name, (i, o) in made)


def _classes(rule: type[AbstractMemoryRule]) -> Iterator[str]:
    kind, why = classify(rule())
    yield f"Class {kind}: {why}.\n"
    names, seen = {f.name for f in _own_fields(rule)}, {kind}
    for choice in CHOICES:
        if not set(choice) <= names:
            continue
        try:
            other, why = classify(rule(**choice))
        except ValueError:  # the rule forbids the choice
            continue
        if other not in seen:
            seen.add(other)
            said = ", ".join(f"{name}: {_plain(value)}" for name, value in choice.items())
            yield f"With `{said}` class {other}: {why}.\n"


def _own_fields(rule: type[AbstractMemoryRule]) -> tuple[Any, ...]:
    return fields(rule) if is_dataclass(rule) else ()


def _fields(rule: type[AbstractMemoryRule]) -> str:
    hints, made = get_type_hints(rule), rule()
    lines = ["| field | default | legal |", "|---|---|---|"]
    for f in sorted(_own_fields(rule), key=lambda f: f.name):
        default = _plain(getattr(made, f.name))
        legal = _taken(rule, f.name) if f.name in TEXTS else _legal(hints[f.name])
        lines.append(f"| `{f.name}` | `{default}` | {legal} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "No fields.\n"


def _taken(rule: type[AbstractMemoryRule], name: str) -> str:
    """The values of a text field that the rule takes beside its other defaults."""
    taken = []
    for value in TEXTS[name]:
        try:
            rule(**{name: value})
        except ValueError:
            continue
        taken.append(f"`{value}`")
    return ", ".join(taken)


def _legal(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(f"`{_plain(value)}`" for value in get_args(hint))
    if isinstance(hint, types.UnionType) or get_origin(hint) is not None:
        return " or ".join(_legal(part) for part in get_args(hint))
    return {int: "a count", float: "a number", bool: "`true`, `false`", str: "text"}[hint]


def _plain(value: object) -> str:
    """A value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _gates(rule: type[AbstractMemoryRule]) -> str:
    lines = ["| gate | per | range | starts at |", "|---|---|---|---|"]
    for name, gate in rule().gates.items():
        per = gate.kind.replace("_", " ") + (f" and lag ({gate.width})" if gate.width else "")
        lines.append(f"| `{name}` | {per} | ({gate.low:g}, {gate.high:g}) | {gate.init:g} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "No learned gates.\n"


def _lowerings(rule: type[AbstractMemoryRule]) -> str:
    lines = ["| lowering | cpu | cuda |", "|---|---|---|"]
    for lowering in LOWERINGS:
        cells = [
            lowering.refuses(rule(), target) or lowering.by_name or "runs" for target in TARGETS
        ]
        lines.append(f"| {lowering.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both, in the repository this file lies in."""
    root = Path(__file__).parents[2]
    (root / "docs" / "rules.md").write_text(page(), encoding="utf-8")
    readme = root / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
