"""A measurement in a process of its own: fresh caches, and a memory peak that is its own."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

import torch

from playground.compile.process import prepare_process

P = ParamSpec("P")
R = TypeVar("R")


def in_child(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a module-level function in a fresh interpreter with as many threads as here.

    Arguments and result are pickled; an exception in the child is raised here.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        max_workers=1, mp_context=context, initializer=_begin, initargs=(torch.get_num_threads(),)
    ) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    prepare_process()
