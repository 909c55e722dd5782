"""Candidates: values of the fields that a search may vary, and what a sampler calls them."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import playground as pg

Values = dict[str, Any]


class Space:
    """The fields of a search.

    Args:
        written: dotted key -> a list of choices, a range, or the symbols of a pattern.

    A pattern is one choice per layer, mended where its limits are not kept: symbols that stand too
    often make way, from the last on, for those that stand too rarely. So every genome is a child
    that can be built.
    """

    def __init__(self, written: Mapping[str, Any]) -> None:
        self.written = written

    def distributions(self) -> dict[str, Any]:
        """Name of a gene -> its optuna distribution."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        genes: dict[str, Any] = {}
        for key, one in self.written.items():
            if not isinstance(one, pg.RangeSpec):
                genes[key] = CategoricalDistribution(one)
            elif one.sequence:
                layer = CategoricalDistribution(one.sequence)
                genes |= {f"{key}[{i}]": layer for i in range(one.length)}
            else:
                low, high = one.ends()
                if one.is_whole():
                    genes[key] = IntDistribution(int(low), int(high), log=one.log)
                else:
                    genes[key] = FloatDistribution(low, high, log=one.log)
        return genes

    def values(self, genes: Mapping[str, Any]) -> Values:
        """Dotted key -> value of the candidate that has these genes."""
        found: Values = {}
        for key, one in self.written.items():
            if isinstance(one, pg.RangeSpec) and one.sequence:
                layers = [genes[f"{key}[{i}]"] for i in range(one.length)]
                found[key] = pattern(mended(layers, one))
            elif isinstance(one, pg.RangeSpec) and not one.is_whole():
                found[key] = float(f"{genes[key]:.3g}")  # that is what a person would write
            else:
                found[key] = genes[key]
        return found

    def every(self) -> Iterator[dict[str, Any]]:
        """The genes of all candidates, in order; none with a range of fractions."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        axes: dict[str, Sequence[Any]] = {}
        for name, one in self.distributions().items():
            if isinstance(one, CategoricalDistribution):
                axes[name] = one.choices
            elif isinstance(one, IntDistribution):
                axes[name] = range(one.low, one.high + 1)
            else:
                return
        for values in itertools.product(*axes.values()):
            yield dict(zip(axes, values, strict=True))

    def size(self) -> float:
        """How many candidates there are; infinite with a range of fractions."""
        total = 1.0
        for one in self.written.values():
            if not isinstance(one, pg.RangeSpec):
                total *= len(one)
            elif one.sequence:
                total *= float(len(one.sequence)) ** one.length
            elif one.is_whole():
                low, high = one.ends()
                total *= high - low + 1
            else:
                return float("inf")
        return total


def mended(layers: Sequence[str], spec: pg.RangeSpec) -> list[str]:
    """The nearest pattern that keeps the limits."""
    found, counts = list(layers), Counter(layers)

    def room(symbol: str) -> bool:
        return counts[symbol] < spec.limit.get(symbol, (0, len(found)))[1]

    def swap(at: int, symbol: str) -> None:
        counts[found[at]] -= 1
        counts[symbol] += 1
        found[at] = symbol

    for at in reversed(range(len(found))):
        if counts[found[at]] > spec.limit.get(found[at], (0, len(found)))[1]:
            swap(at, next(symbol for symbol in spec.sequence if room(symbol)))
    for symbol, (least, _) in spec.limit.items():
        for at in reversed(range(len(found))):
            spare = counts[found[at]] > spec.limit.get(found[at], (0, 0))[0]
            if counts[symbol] < least and found[at] != symbol and spare:
                swap(at, symbol)
    return found


def pattern(layers: Sequence[str]) -> str:
    """`2M A`, as a person writes it."""
    runs = [(symbol, len(list(group))) for symbol, group in groupby(layers)]
    return " ".join(f"{count if count > 1 else ''}{symbol}" for symbol, count in runs)
