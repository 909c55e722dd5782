"""Sums with products, made in place: a product adds to what already lies where its result goes."""

from collections.abc import Mapping, Sequence

from playground.compile.native.values import Const, Input, Map, Onto, Product, Value, View


def sums(values: Sequence[Value], outputs: Sequence[View]) -> dict[Value, Onto]:
    """For sums whose two sides nobody else asks for: how they are made.

    Args:
        values: each after those it reads.
        outputs: of the body.
    """
    uses: dict[Value, int] = {}
    for view in [*(v for value in values for v in value.reads), *outputs]:
        uses[view.base] = uses.get(view.base, 0) + 1
    found: dict[Value, Onto] = {}
    taken: set[Value] = set()
    for value in values:
        if isinstance(value, Map) and value.op in ("add", "sub"):
            onto = _onto(value, uses, taken)
            if onto is not None:
                found[value] = onto
                taken.add(onto.product)
    return found


def _onto(value: Map, uses: Mapping[Value, int], taken: set[Value]) -> Onto | None:
    x, y = value.args
    for here, product, sign in ((x, y, 1 if value.op == "add" else -1), (y, x, 1)):
        if here is y and value.op == "sub":
            continue
        base, made = here.base, product.base
        free = not isinstance(base, Input | Const) and uses[base] == 1 and here.whole
        # a product that is not the last to be made would be waited for
        if free and isinstance(made, Product) and uses[made] == 1 and product.whole:
            if made in taken or base in taken:
                continue
            return Onto(
                shape=made.shape, a=made.a, b=made.b, x=here, sign=sign, product=made, value=value
            )
    return None
