"""Verbs about memory rules: verify, cite."""

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
Sources = Annotated[list[str], typer.Argument(help="Rules by name or file, or YAML files.")]


def rule_class(name: str) -> "type[AbstractMemoryRule]":
    """The rule that a name or `path.py:Class` means.

    Raises:
        SpecError: there is none, or it cannot be used.
    """
    from playground.spec.shapes import rule_class as of_kind

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
    from memory_rules.papers import bibtex

    papers = dict.fromkeys(rule.paper for name in sources for rule in _rules_in(name))
    entries = {paper: bibtex(paper) for paper in papers if paper.startswith("arXiv:")}
    own = [paper for paper in papers if paper not in entries]
    if not entries:
        raise PlaygroundError(f"{', '.join(sources)}: names no published rule ({', '.join(own)}).")
    if json:
        print_json(entries)
    else:
        print("\n".join(entries.values()).rstrip())


def _rules_in(name: str) -> "list[type[AbstractMemoryRule]]":
    """The rules that one argument names: itself, or those of a spec."""
    if not name.endswith((".yaml", ".yml")):
        return [rule_class(name)]
    from playground.spec import BenchSpec, ModelSpec, SearchSpec, SweepSpec, load

    spec, alone = load(name), list["type[AbstractMemoryRule]"]()
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
