"""Sweeps over the runs of a playground: planned, executed in worker processes, compared."""
