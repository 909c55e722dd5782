"""What a rule carries from one token to the next, and what it is given at each token."""

from pathlib import Path
from typing import cast

from safetensors.torch import load_file, save_file
from tensordict import TensorClass, TensorDict
from torch import Tensor


class Inputs(TensorClass):
    """The tokens a scan is given; batch_size [B, T], or [B] for one token.

    q, k: [B, T, H, K]; v: [B, T, H, V]; mask: [B, T] bool, False where a token is padding, or None.
    gates: nested, `gates[name][matrix]` in its final range: [B, T, H], channel gates [B, T, H, d].
    """

    q: Tensor
    k: Tensor
    v: Tensor
    gates: TensorDict
    mask: Tensor | None = None


class State(TensorClass):
    """Everything that crosses from one token to the next; batch_size [B], at least fp32.

    memory: fast weights, leaves [B, H, d_in, d_out].
    momentum: accumulated surprise, same structure; empty where the rule has none.
    anchor: where gradients are taken, the memory at the start of the open chunk; empty where every
        token takes its gradient at the current memory.
    start: the learned starting memory (a view), where `decay_towards: start` needs it; else empty.
    slow: learned weights of the memory network that are not written at test time; often empty.
    recent: what else the open chunk must remember: the last inputs of a window, the drafts of
        fixed-point passes, the retention of a nonlinear boundary; often empty.
    position: [B] int64, tokens seen since the chunk phase began, equal across rows.
    """

    memory: TensorDict
    momentum: TensorDict
    anchor: TensorDict
    start: TensorDict
    slow: TensorDict
    recent: TensorDict
    position: Tensor

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep: learned parts are shared, not counted."""
        kept = (self.memory, self.momentum, self.anchor, self.recent)
        total = sum(t.numel() * t.element_size() for part in kept for t in part.values(True, True))
        return total // max(1, self.position.shape[0])


def tensors(leaves: TensorDict) -> dict[str, Tensor]:
    """The leaves of a flat TensorDict by name."""
    return cast(dict[str, Tensor], dict(leaves.items()))


def save_state(state: TensorClass, path: str | Path) -> None:
    """Write any state (a block's, a model's) to one safetensors file."""
    flat = state.to_tensordict().flatten_keys("/")
    save_file({n: leaf.contiguous().clone() for n, leaf in tensors(flat).items()}, str(path))


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a saved state by their flat name."""
    return load_file(str(path))
