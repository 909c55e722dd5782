"""The verb about this machine: doctor."""

from playground.cli.app import FAILED, verb
from playground.cli.options import Json
from playground.cli.show import print_json, print_table


@verb("doctor")
def doctor(json: Json = False) -> int:
    """Say what can run here, and how to get what is missing."""
    from playground.cli.checkup import findings

    found = findings()
    if json:
        print_json([{"what": f.what, "state": f.state, "says": f.says} for f in found])
    else:
        print_table(("", "", ""), [(f.what, f.state, f.says) for f in found], numbers=False)
    return FAILED if any(f.state == "wrong" for f in found) else 0
