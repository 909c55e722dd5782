"""The memory layer: a rule, and what a block puts around it.

    q, k, v = act(conv(x W_Q)), act(conv(x W_K)), act(conv(x W_V));   q, k to unit length per head
    m, state = scan(rule, state, q, k, v, gates(x))
    y = (RMSNorm(m) * sigmoid(x W_G)) W_O            (`gate: product`: without the sigmoid)

arXiv:2501.00663, section 4.4 and the camera-ready's appendix: a depthwise convolution after each
projection, SiLU, unit q and k, and "normalisation and gating with a linear layer" before W_O.
"""

from collections.abc import Mapping

import torch
from tensordict import TensorClass, TensorDict
from torch import Tensor, nn

from blocks.depthwise import DepthwiseConv
from blocks.fast_weights import SlowWeights, StartingMemory
from blocks.gates import Gates
from blocks.init import ResidualLinear
from blocks.norms import RMSNorm
from blocks.observe import Seen, summarise
from blocks.short_conv import ShortConv, activated, short_conv
from blocks.spec import MemorySpec
from memory_rules import AbstractGradientRule, Inputs, Scan, State, recurrent
from memory_rules.dense import Plain

Qkv = tuple[Tensor, Tensor, Tensor]


class MemoryState(TensorClass):
    """What a memory layer carries; batch_size [B].

    rule: the rule's state.
    conv: the last inputs of the convolutions, "q", "k", "v": [B, width - 1, M]; empty without.
    """

    rule: State
    conv: TensorDict

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep."""
        return self.rule.num_bytes() + bytes_of(self.conv)


class MemoryLayer(nn.Module):
    """A learned-at-test-time memory as a sequence layer: x [B, T, M] -> y [B, T, M].

    frozen: read and never write (persistent tokens are part of the start and are still written).
    observing: keep what `observe` needs of the last call.
    """

    def __init__(
        self,
        spec: MemorySpec,
        dim: int,
        *,
        scan: Scan = recurrent,
        short_conv: ShortConv = short_conv,
        residual: bool = False,
    ) -> None:
        """A memory of `spec.heads` heads of width dim / heads.

        Args:
            spec: the rule and the layer's own choices.
            dim: model width M.
            scan: what runs the rule over tokens.
            short_conv: what runs the convolutions, and what follows them.
            residual: whether the output is added to the residual stream as it is.

        Raises:
            ValueError: heads does not divide dim.
        """
        super().__init__()
        if dim % spec.heads:
            raise ValueError(f"heads: {spec.heads} does not divide dim = {dim}.")
        self.spec, self.rule, self.scan, self.dim = spec, spec.rule, scan, dim
        self.short_conv = short_conv
        self.frozen = self.observing = False
        self._seen: Seen | None = None
        names = ("q", "k", "v")
        self.project = nn.ModuleDict({n: nn.Linear(dim, dim, bias=False) for n in names})
        self.conv = nn.ModuleDict({n: DepthwiseConv(dim, spec.conv) for n in names if spec.conv})
        self.gates = Gates(self.rule, dim, spec.heads)
        width = dim // spec.heads
        self.memory = StartingMemory(self.rule, width, spec.heads)
        self.slow = SlowWeights(self.rule.slow_shapes(width), spec.heads)
        self.norm = RMSNorm(dim)
        self.gate = nn.Linear(dim, dim, bias=False)
        self.out = (ResidualLinear if residual else nn.Linear)(dim, dim, bias=False)

    # the state

    def start(self, batch: int) -> MemoryState:
        """The state before the first token, for `batch` sequences."""
        conv = {n: self.conv_of(n).start(batch) for n in self.conv}
        return MemoryState(
            rule=self.rule.initial_state(self._starting_memory(), dict(self.slow.items()), batch),
            conv=TensorDict(conv, batch_size=[batch]),
            batch_size=[batch],
        )

    def warmed(self, prefix: Tensor, batch: int) -> tuple[Tensor, MemoryState]:
        """The state after tokens that precede every sequence, and what the layer says at them.

        Args:
            prefix: [P, M]; written once, whatever the batch; the chunk phase begins after them.
            batch: number of sequences.

        Returns:
            y [P, M] and the state of `batch` sequences.
        """
        if prefix.shape[0] == 0:
            return prefix, self.start(batch)
        y, state = self._run(prefix.unsqueeze(0), self.start(1), None, None, write=True)
        if isinstance(self.rule, AbstractGradientRule):
            rule = self.rule.restart(state.rule)
            state = MemoryState(rule=rule, conv=state.conv, batch_size=[1])
        return y.squeeze(0), state.expand(batch)

    # the layer

    def forward(
        self, x: Tensor, state: MemoryState, mask: Tensor | None = None, qkv: Qkv | None = None
    ) -> tuple[Tensor, MemoryState]:
        """Write and read token by token.

        Args:
            x: [B, T, M], any T >= 0.
            state: from `start`, or from the call before.
            mask: [B, T] bool, False where a token is padding: it writes nothing.
            qkv: what the method `qkv` gives for x, where the caller has use for it too.
        """
        return self._run(x, state, mask, qkv, write=not self.frozen)

    def retrieve(
        self, x: Tensor, state: MemoryState, mask: Tensor | None = None
    ) -> tuple[Tensor, MemoryState]:
        """Read with q from x and write nothing: y [B, T, M], and the state with q's conv ahead."""
        conv = state.conv.clone(recurse=False)
        m = self._read(state.rule, self._convolved("q", self.project["q"](x), conv, mask))
        return self.output(m, x), MemoryState(
            rule=state.rule, conv=conv, batch_size=state.batch_size
        )

    def output(self, m: Tensor, x: Tensor) -> Tensor:
        """The scan's m [B, T, H, V], normed, gated by x [B, T, M] and projected."""
        gate = self.gate(x)
        gate = gate if self.spec.gate == "product" else torch.sigmoid(gate)
        return self.out(self.norm(m.flatten(-2)) * gate)

    def observe(self) -> dict[str, float]:
        """Means over the last call made while `observing`: gates, surprise and memory norms.

        Returns:
            Every learned gate by name; `surprise_norm` and `surprise_norm_after`, of the call's
            tokens at the memory before and after it; `memory_norm` after it. Empty before a call.
        """
        return {} if self._seen is None else summarise(self.rule, self._seen)

    # its parts

    def qkv(self, x: Tensor) -> Qkv:
        """x W_Q, x W_K, x W_V, each [B, T, M]."""
        return self.project["q"](x), self.project["k"](x), self.project["v"](x)

    def conv_of(self, name: str) -> DepthwiseConv:
        """The convolution after the projection of q, k or v."""
        conv = self.conv[name]
        assert isinstance(conv, DepthwiseConv)
        return conv

    def inputs(
        self, x: Tensor, conv: TensorDict, mask: Tensor | None, qkv: Qkv | None = None
    ) -> tuple[Inputs, TensorDict]:
        """What the scan is given for x, and the convolutions' next caches."""
        conv = conv.clone(recurse=False)
        made = self.qkv(x) if qkv is None else qkv
        q, k, v = (self._convolved(n, t, conv, mask) for n, t in zip("qkv", made, strict=True))
        tokens = Inputs(
            q=q,
            k=k,
            v=v,
            gates=self.gates(x),
            mask=mask,
            batch_size=x.shape[:2],
        )
        return tokens, conv

    def _run(
        self, x: Tensor, state: MemoryState, mask: Tensor | None, qkv: Qkv | None, *, write: bool
    ) -> tuple[Tensor, MemoryState]:
        inputs, conv = self.inputs(x, state.conv, mask, qkv)
        if write:
            m, rule = self.scan(self.rule, state.rule, inputs)
        else:
            m, rule = self._read(state.rule, inputs.q), state.rule
        if self.observing:
            self._seen = Seen.of(inputs, state.rule, rule)
        return self.output(m, x), MemoryState(rule=rule, conv=conv, batch_size=state.batch_size)

    def _convolved(self, name: str, t: Tensor, conv: TensorDict, mask: Tensor | None) -> Tensor:
        """[B, T, H, D]: convolution (its cache in `conv` is replaced), activation, unit length."""
        heads, silu = self.spec.heads, self.spec.activation == "silu"
        unit = name != "v" and self.spec.qk_norm == "l2"
        if name not in self.conv:
            return activated(t, heads=heads, silu=silu, unit=unit)
        weight, cache = self.conv_of(name).weight, conv[name]
        t, conv[name] = self.short_conv(t, weight, cache, mask, heads=heads, silu=silu, unit=unit)
        return t

    def _read(self, state: State, q: Tensor) -> Tensor:
        """The memory as it stands, read by every token: q [B, T, H, K] -> [B, T, H, V]."""
        rule = self.rule
        if not isinstance(rule, AbstractGradientRule):
            raise ValueError(f"kind: {rule.kind} has no read without a write; use another rule.")
        wide = q.transpose(1, 2).to(next(iter(state.memory.values())).dtype)
        y = rule.read(Plain(state.memory, state.slow), wide)
        return y.transpose(1, 2).to(q.dtype)

    def _starting_memory(self) -> Mapping[str, Tensor]:
        if self.memory:
            return dict(self.memory.items())
        heads, weight = self.spec.heads, self.out.weight
        shapes = self.rule.shapes(self.dim // heads)
        return {n: weight.new_zeros(heads, *shape) for n, shape in shapes.items()}


def bytes_of(leaves: TensorDict) -> int:
    """Bytes per sequence of tensors [B, ...]."""
    tensors = (t for t in leaves.values(True, True) if isinstance(t, Tensor))
    return sum(t.numel() * t.element_size() for t in tensors) // max(1, leaves.batch_size[0])


def freeze_memory(model: nn.Module, frozen: bool = True) -> None:
    """Make every memory of `model` read-only, or writing again."""
    for module in model.modules():
        if isinstance(module, MemoryLayer):
            module.frozen = frozen
