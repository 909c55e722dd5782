"""Runs of stacks that were trained again alone, in one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

NEAR = 1e-5  # relative, of a run in a stack and the same alone
NAMED = 6  # the others are in sweep.json and search.json


def audit_line(audits: Sequence[Mapping[str, Any]]) -> str:
    """How many agree, and which runs they were.

    Args:
        audits: one or more, as in sweep.json and search.json.
    """
    known = [one for one in audits if one["difference"] is not None]
    near = [one for one in known if one["difference"] <= NEAR]
    steps = max(one["steps"] for one in audits)
    line = f"Of {len(audits)} runs of stacks trained again alone, {len(near)} agree"
    line += f" within {NEAR:.0e} in the training loss of the first {steps} steps"
    if near:
        names, more = [_name(one) for one in near], len(near) - NAMED
        rest = f" and {more} more" if more > 0 else ""
        most = max(one["difference"] for one in near)
        line += f", at most {most:.0e} apart ({', '.join(names[:NAMED])}{rest})"
    for one in audits:
        if one["difference"] is None:
            line += f"; {_name(one)} failed alone"
        elif one["difference"] > NEAR:
            line += f"; {_name(one)} is {one['difference']:.0e} apart"
    return f"{line}."


def _name(one: Mapping[str, Any]) -> str:
    return f"{', '.join(filter(None, (one['variant'], one.get('at'))))} #{one['seed']}"
