"""How kernels that read tokens where a model has them are started: sizes, blocks and grids."""

from typing import Any

import torch
from torch import Tensor

from kernels.configs import Blocks, blocks_of
from kernels.launch import tile

WIDEST = 256  # channels of a head
MOST = 65_535  # programs on the second and third axis of a grid: chunks, and sequences times heads
CHUNK = 64  # tokens; at 128 fewer states are written, and what is read of them is slower by more


def given_grads(
    g_y: Tensor | None, g_after: Tensor | None, v: Tensor, state: torch.Size
) -> tuple[Tensor, Tensor]:
    """Gradients to outputs and to the last state, zero where nobody asked for one."""
    g_y = torch.zeros_like(v) if g_y is None else g_y.contiguous()
    if g_after is None:
        g_after = torch.zeros(state, dtype=torch.float32, device=v.device)
    return g_y, g_after.contiguous()


def rooms(q: Tensor, *others: Tensor | None) -> list[Tensor]:
    """Room for a gradient to each; empty for what is not there."""
    return [q.new_empty(0) if t is None else torch.empty_like(t) for t in (q, *others)]


def key_of(kernel: str, solved: bool) -> str:
    """What the table calls a kernel; solved: with the products that the delta rule needs."""
    return f"{kernel} solved" if solved else kernel


def processors(device: torch.device) -> int:
    """How many a GPU has; those of an H200 where there is none."""
    if device.type != "cuda":
        return 132
    return torch.cuda.get_device_properties(device).multi_processor_count


class Job:
    """The sizes of a call, and how its kernels are started.

    Args:
        q: [B, T, H, K].
        v: [B, T, H, V].
    """

    def __init__(self, q: Tensor, v: Tensor) -> None:
        (self.B, self.T, self.H, self.K), self.V = q.shape, v.shape[-1]
        if max(self.K, self.V) > WIDEST:
            wide = max(self.K, self.V)
            raise ValueError(f"no kernel for heads wider than {WIDEST}, this one has {wide}")
        self.device, self.G, self.N = q.device, self.B * self.H, -(-self.T // CHUNK)
        if max(self.G, self.N) > MOST:
            has = f"this call has {self.G} of {self.N} chunks"
            raise ValueError(
                f"no kernel for more than {MOST} sequences times heads or chunks, {has}"
            )

    @property
    def told(self) -> dict[str, Any]:
        """What kernels are told of sizes."""
        sizes = {"T": self.T, "H": self.H, "N": self.N, "G": self.G, "C": CHUNK, "K": self.K}
        return sizes | {"V": self.V, "ALL": self.B * self.T * self.H, "BLOCK_C": CHUNK}

    def states(self, dtype: torch.dtype) -> Tensor:
        """Room for the state before every chunk, [N, G, K, V]."""
        return torch.empty(self.N, self.G, self.K, self.V, dtype=dtype, device=self.device)

    def start(self, kernel: Any, *tensors: Tensor | None, **flags: bool) -> None:
        """Start a kernel: tensors in its order, and of sizes and flags those it names."""
        name, solved = kernel.__name__, flags.get("SOLVED", False)
        how = self._how(key_of(name, solved))
        if solved:
            how = how._replace(K=tile(self.K))  # all of a state's rows
            if 2 * processors(self.device) > self.G * -(-self.V // how.V):
                few = {"warps": 4, "stages": 3} if how.K < WIDEST else {}
                how = how._replace(V=min(how.V, 32), **few)
        told = self.told | flags | {"BLOCK_K": how.K, "BLOCK_V": how.V}
        told = {size: told[size] for size in kernel.arg_names if size in told}
        by_k, by_v = -(-self.K // how.K), -(-self.V // how.V)
        grids = {
            "decay_states_fwd": (self.G, by_v, by_k),
            "decay_states_bwd": (self.G, by_v, by_k),
            "decay_reads_fwd": (by_v, self.N, self.G),
            "decay_values_bwd": (by_v, self.N, self.G),
            "decay_keys_bwd": (by_k, self.N, self.G),
        }
        grid = grids.get(name, (self.N, self.G))
        kernel[grid](*tensors, **told, num_warps=how.warps, num_stages=how.stages)

    def _how(self, entry: str) -> Blocks:
        return blocks_of(entry, tile(self.K), tile(self.V))

    def gates(self, like: Tensor | None) -> Tensor | None:
        """Room for gradients to gates, by block of K; None where there are none."""
        if like is None:
            return None
        how = self._how("decay_keys_bwd")
        return like.new_empty(-(-self.K // how.K), *like.shape)

    def summed(self, found: Tensor | None, like: Tensor) -> Tensor:
        """Gradients to gates over all blocks; empty where there are none."""
        if found is None:
            return like.new_empty(0)
        return found[0] if len(found) == 1 else found.sum(0)
