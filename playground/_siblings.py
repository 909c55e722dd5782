"""Whether the packages beside `playground` are the ones that came with it."""

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from playground.errors import ShadowedError

SIBLINGS = ("blocks", "kernels", "memory_rules", "search")

_FIX = (
    "Install test-time-playground in a fresh environment, without that distribution, "
    "and start Python in another folder if it is a file of yours."
)


def check_siblings(package: Path) -> None:
    """Refuse to go on with another project's package under one of our names.

    Args:
        package: the folder of `playground`; the others belong beside it.

    Raises:
        ShadowedError: naming the package, the distribution it came from, and the fix.
    """
    for name in SIBLINGS:
        expected = package.parent / name
        spec = find_spec(name)
        where = [] if spec is None else _places(spec)
        if where and not any(place.resolve() == expected.resolve() for place in where):
            raise ShadowedError(f"{name}: {_owner(name)} at {where[0]} hides ours. {_FIX}")
        if any(package.parent.glob(f"{name}-*.dist-info")):
            problem = f"{_owner(name)} is installed over ours at {expected}."
            raise ShadowedError(f"{name}: {problem} {_FIX}")


def _places(spec: ModuleSpec) -> list[Path]:
    """The folders of a package, or the file of a module."""
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin else []


def _owner(name: str) -> str:
    """Which distribution put a package there; asked only once something is wrong."""
    from importlib.metadata import packages_distributions

    owners = [d for d in packages_distributions().get(name, []) if d != "test-time-playground"]
    return f"the distribution {owners[0]!r}" if owners else "something that is no distribution"
