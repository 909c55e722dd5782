"""What a model reads and what a task gives: whether they fit, and sizes that the task decides."""

from collections.abc import Mapping
from dataclasses import fields, replace

from blocks.reads import Reads
from playground.errors import SpecError
from playground.spec.model import ModelSpec

Given = Mapping[str, object]  # what a task gives: a kind of input, and its sizes

TOKENS: Given = {"kind": "tokens"}


def given_by(task: object) -> Given:
    """What the examples of a task are; tokens where it says nothing."""
    reads = getattr(task, "reads", None)
    return TOKENS if reads is None else reads()


def fitted(model: ModelSpec, given: Given) -> ModelSpec:
    """The model with the sizes that it leaves to the task.

    Args:
        model: what a person wrote.
        given: `kind` of the task's examples, and their sizes by the names of `model.reads`.

    Raises:
        SpecError: the model reads another kind, or other sizes.
    """
    reads, kind = model.reads, given["kind"]
    if reads.kind != kind:
        raise SpecError(
            "model.reads.kind",
            f"the model reads {reads.kind}, the examples of the task are {kind}.",
            fix=f"Write model.reads.kind: {kind}.",
        )
    sizes = {name: value for name, value in given.items() if name != "kind"}
    for name, value in sizes.items():
        own = getattr(reads, name)
        if own is not None and own != value:
            raise SpecError(
                f"model.reads.{name}",
                f"{own} is not the task's {value}.",
                fix="Leave it out: it is the task's.",
            )
    if all(getattr(reads, name) == value for name, value in sizes.items()):
        return model
    try:
        return replace(model, reads=replace(reads, **sizes))
    except ValueError as error:
        name, _, problem = str(error).partition(": ")
        fix = "Change it, or the task."
        raise SpecError(f"model.reads.{name}", problem, fix=fix) from None


def require_sizes(reads: Reads) -> None:
    """Refuse to build a model whose task was to say a size.

    Raises:
        SpecError: naming the size.
    """
    for item in fields(reads):
        if getattr(reads, item.name) is None:
            problem = "is missing: no task says it here."
            fix = f"Write reads.{item.name}: with a number, or give a run with its task."
            raise SpecError(f"reads.{item.name}", problem, fix=fix)
