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
    found = [one["difference"] for one in audits if one["difference"] is not None]
    near = sum(value <= NEAR for value in found)
    steps = max(one["steps"] for one in audits)
    line = f"Of {len(audits)} runs of stacks trained again alone, {near} agree"
    line += f" within {NEAR:.0e} in the training loss of the first {steps} steps"
    line += f"; at most {max(found):.0e} apart" if found else ""
    names = [f"{one['variant']} #{one['seed']}" for one in audits]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{line} ({', '.join(names[:NAMED])}{more})."
