"""The laws of a rule under every form that can run it."""

from typing import Any

from memory_rules import AbstractMemoryRule, recurrent
from memory_rules.testing import LAWS, Verdict, check
from playground.cli.progress import bars
from playground.errors import LoweringError, SpecError
from playground.spec import convert


def make_rule(cls: type[AbstractMemoryRule], words: list[str]) -> AbstractMemoryRule:
    """A rule with its defaults and the fields given as key=value.

    Raises:
        SpecError: no such field, or a value it does not take.
    """
    from playground.spec.raw import parse_override

    return convert(cls, dict(parse_override(word) for word in words))


def scans(rule: AbstractMemoryRule, wanted: list[str] | None) -> dict[str, Any]:
    """Form -> its scan, or the reason why it does not run this rule here.

    Raises:
        SpecError: an unknown form.
        LoweringError: a form that was asked for does not run here: nothing would be judged of it.
    """
    from playground.compile import LOWERINGS, Target

    target = Target.of("cpu")
    forms: dict[str, Any] = {"recurrent": recurrent}
    for lowering in LOWERINGS:
        if lowering.name not in forms:
            forms[lowering.name] = lowering.refuses(rule, target) or lowering.scan
    for name in wanted or ():
        if name not in forms:
            raise SpecError("--lowering", f"{name!r} is none.", forms, name)
    absent = {name: forms[name] for name in wanted or () if isinstance(forms[name], str)}
    if absent:
        there = ", ".join(name for name, scan in forms.items() if not isinstance(scan, str))
        problem = f"{rule.kind} cannot run in this form here, so no law is tried."
        fix = f"Leave it out; {there} can run."
        raise LoweringError("--lowering", problem, absent, fix)
    return {name: scan for name, scan in forms.items() if not wanted or name in wanted}


def judge(
    rule: AbstractMemoryRule, forms: dict[str, Any], *, slow: bool
) -> list[tuple[str, Verdict]]:
    """Every law under every form that runs here, with a bar."""
    laws = [law for law in LAWS if slow or "slow" not in law.marks]
    runnable = {name: scan for name, scan in forms.items() if not isinstance(scan, str)}
    verdicts: list[tuple[str, Verdict]] = []
    with bars() as bar:
        bar.begin("laws", "laws", len(laws) * len(runnable))
        for law in laws:
            for name, scan in runnable.items():
                bar.move("laws", len(verdicts), f"{law.name} ({name})")
                verdicts.append((name, check(rule, scan, law)))
    return verdicts
