"""One sentence per field that must hold."""

from playground.errors import SpecError


def require(condition: bool, name: str, problem: str, fix: str) -> None:
    """Raise a SpecError of field `name` unless the condition holds."""
    if not condition:
        raise SpecError(name, problem, fix=fix)
