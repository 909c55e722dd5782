"""Names of variants at the places of a grid: `delta, heads=4` is `delta` at `heads=4`."""

from collections.abc import Collection


def family(name: str, names: Collection[str]) -> str:
    """A variant's own name, without its place in a grid (`delta, dim=64` beside `delta`)."""
    own, _, place = name.partition(", ")
    return own if own in names and "=" in place else name


def at_place(own: str, name: str, names: Collection[str]) -> str:
    """What another variant is called at the place of `name`: `delta` for `gla, dim=64` is
    `delta, dim=64`."""
    return own + name.removeprefix(family(name, names))


def of_a_grid(names: Collection[str]) -> bool:
    """Whether some variants are the same one at several places of a grid."""
    return len({family(name, names) for name in names}) < len(names)
