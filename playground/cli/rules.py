"""Verbs about memory rules: verify, cite."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from playground.cli.app import FAILED, verb
from playground.cli.options import Json
from playground.cli.show import print_json, print_table
from playground.errors import PlaygroundError, SpecError

if TYPE_CHECKING:
    from memory_rules import AbstractMemoryRule
    from memory_rules.testing import Verdict

Rule = Annotated[str, typer.Argument(help="A rule's name, or path/to/file.py:Class.")]
All = Annotated[bool, typer.Option("--all", help="Also the laws that take long.")]
Lowering = Annotated[
    list[str] | None, typer.Option("--lowering", help="Which forms; all that can run here if none.")
]
Fields = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FIELD=VALUE]...", help="Fields of the rule, such as momentum=none."),
]
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE... [KEY=VALUE]...",
        help="Rules by name or path/to/file.py:Class, YAML files, folders of runs; overrides.",
    ),
]


def rule_class(name: str) -> "type[AbstractMemoryRule]":
    """The rule that a name or `path.py:Class` means.

    Raises:
        SpecError: there is none, or it cannot be used.
    """
    from playground.spec.shapes import rule_class as of_kind

    if name.endswith(".py") and Path(name).is_file():
        fix = f"Write {name}:Class with the name of its class."
        raise SpecError("RULE", f"{name!r} is a file, not a rule in it.", fix=fix)
    try:
        return of_kind({"kind": name})
    except SpecError as error:
        raise SpecError("RULE", error.problem, error.allowed, error.found, error.fix) from None


@verb("verify")
def verify(
    rule: Rule,
    words: Fields = None,
    lowering: Lowering = None,
    every: All = False,
    json: Json = False,
) -> int:
    """Hold a rule to the laws, in every form that can run it."""
    from playground.cli.verifying import judge, make_rule, scans

    made = make_rule(rule_class(rule), words or [])
    forms = scans(made, lowering)
    table = judge(made, forms, slow=every)
    if json:
        print_json([_as_json(name, verdict) for name, verdict in table])
    else:
        _print_laws(rule, forms, table)
    return 0 if all(verdict.passed for _, verdict in table) else FAILED


def _as_json(form: str, verdict: "Verdict") -> dict[str, Any]:
    return {
        "lowering": form,
        "law": verdict.law,
        "passed": verdict.passed,
        "error": verdict.error,
        "tolerance": verdict.tolerance,
        "skipped": verdict.skipped,
        "detail": verdict.detail,
    }


def _print_laws(rule: str, forms: dict[str, Any], table: "list[tuple[str, Verdict]]") -> None:
    laws = list(dict.fromkeys(verdict.law for _, verdict in table))
    found = {(form, verdict.law): verdict for form, verdict in table}
    runnable = [form for form, scan in forms.items() if not isinstance(scan, str)]
    rows = [(law, *(_cell(found[form, law]) for form in runnable)) for law in laws]
    print_table(("law", *runnable), rows, title=f"{rule}", numbers=False)
    for form, scan in forms.items():
        if isinstance(scan, str):
            print(f"{form}: not here: {scan}")
    failed = [(form, verdict) for form, verdict in table if not verdict.passed]
    for form, verdict in failed:
        print(f"{verdict.law} ({form}): {verdict.detail}, error {verdict.error:.2g}")
    skipped = sum(bool(verdict.skipped) for _, verdict in table)
    held = len(table) - len(failed) - skipped
    print(f"{held} hold, {skipped} do not apply, {len(failed)} fail")


def _cell(verdict: "Verdict") -> str:
    if verdict.skipped:
        return f"- {verdict.skipped}"
    state = "holds" if verdict.passed else "FAILS"
    return f"{state}  {verdict.error:.1e}" if verdict.tolerance else state


@verb("cite")
def cite(sources: Sources, json: Json = False) -> None:
    """Print the BibTeX of the papers behind rules or specs."""
    words = [source for source in sources if "=" in source and not Path(source).exists()]
    named = [source for source in sources if source not in words]
    specs = [name for name in named if _is_spec(name)]
    if not named:
        raise PlaygroundError(f"{words[0]}: is an override. Name the spec that it is of before it.")
    if words and not specs:
        raise PlaygroundError(f"{words[0]}: is an override of a spec, and none is named. Drop it.")
    found = ((_rules_in(n, words) if n in specs else [rule_class(n)]) for n in named)
    rules = [rule for some in found for rule in some]
    entries = _entries(list(dict.fromkeys(rule.paper for rule in rules)))
    if not entries:
        why = "its rules are of no published paper" if rules else "it has no memory rule"
        raise PlaygroundError(f"{', '.join(named)}: {why}. There is nothing to cite.")
    if json:
        print_json(entries)
    else:
        print("\n".join(entries.values()).rstrip())


def _entries(papers: list[str]) -> dict[str, str]:
    """The BibTeX of each paper that is one."""
    from memory_rules.papers import bibtex

    try:
        return {paper: bibtex(paper) for paper in papers if paper.startswith("arXiv:")}
    except ValueError as error:
        raise PlaygroundError(f"{error} Cite it by hand.") from None


def _is_spec(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or Path(name).is_dir()


def _rules_in(name: str, words: list[str]) -> "list[type[AbstractMemoryRule]]":
    """The rules of a spec, or of the spec in a run's folder."""
    from playground.spec import BenchSpec, ModelSpec, SearchSpec, SweepSpec, load

    spec, alone = load(name, *words), list["type[AbstractMemoryRule]"]()
    if isinstance(spec, SweepSpec):
        models = [run.spec.model for run in spec.expand()]
    elif isinstance(spec, SearchSpec):
        models = [spec.first().model]
    elif isinstance(spec, BenchSpec):
        models, alone = list(spec.models.values()), [type(rule.rule) for rule in spec.rules]
    else:
        models = [spec if isinstance(spec, ModelSpec) else spec.model]
    memories = [getattr(block, "memory", None) for model in models for block in model.blocks()]
    inside = [type(memory.rule) for memory in memories if memory is not None]
    return list(dict.fromkeys([*alone, *inside]))
