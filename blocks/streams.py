"""A stream put away and taken up again: a model's state in one safetensors file."""

from pathlib import Path

from tensordict import TensorDict

from blocks.model import AbstractModel, ModelState
from memory_rules.state import load_tensors, save_state


def save_stream(state: ModelState, path: str | Path) -> None:
    """Write a model's state; `load_stream` of the same model reads it."""
    save_state(state, path)


def load_stream(model: AbstractModel, path: str | Path) -> ModelState:
    """The state that was saved, on the model's device.

    Raises:
        ValueError: the file was written by a model of other blocks.
    """
    tensors = load_tensors(path)
    batch, device = tensors["position"].shape[0], model.embedding.weight.device
    begun = model.start(batch)
    flat = begun.to_tensordict().flatten_keys("/")
    wanted = {str(name) for name, _ in flat.items()}  # iterating a TensorDict goes over its batch
    if wanted != set(tensors):
        odd = ", ".join(sorted(wanted ^ set(tensors))[:4])
        raise ValueError(f"{path}: the stream is of another model ({odd}). Load its own spec.")
    saved = TensorDict(tensors, batch_size=[batch], device=device).unflatten_keys("/")
    for index, block in begun.blocks.items():
        _fill(block, saved["blocks", index])
    return begun.replace(position=saved["position"])


def _fill(state: object, saved: TensorDict) -> None:
    """Put saved leaves in the place of a fresh state's; lengths may differ."""
    for name, leaf in saved.items():
        if isinstance(leaf, TensorDict):
            _fill(state.get(name), leaf)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            state.set(name, leaf)  # pyright: ignore[reportAttributeAccessIssue]
