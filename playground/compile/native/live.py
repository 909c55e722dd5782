"""What a body has to compute for what it returns."""

from collections.abc import Sequence

from playground.compile.native.values import Value, View


def live(outputs: Sequence[View]) -> list[Value]:
    """All values that the outputs need, each after those it reads."""
    found: dict[Value, None] = {}

    def visit(value: Value) -> None:
        """What a value is made of comes before it."""
        stack: list[tuple[Value, bool]] = [(value, False)]
        while stack:
            one, done = stack.pop()
            if done:
                found[one] = None
            elif one not in found:
                stack.append((one, True))
                stack.extend((v.base, False) for v in reversed(one.reads) if v.base not in found)

    for view in outputs:
        visit(view.base)
    return list(found)
