"""The engines there are, by what a sweep asks for."""

from typing import Any

import playground as pg
from search.engine import CarryOut, Engine
from search.local import Local
from search.worker import train_runs


def engine_for(spec: pg.EngineSpec, carry_out: CarryOut = train_runs) -> Engine[Any]:
    """The engine that a sweep asks for.

    Args:
        spec: which one.
        carry_out: what a worker does with an order: (order, told of events) -> what became of it.

    Raises:
        PlaygroundError: it is an extra that is not installed.
    """
    if spec.engine == "ray":
        from search.cluster import Cluster  # an extra: ray

        return Cluster(spec, carry_out)
    return Local(carry_out)
