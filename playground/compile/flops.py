"""Forward FLOPs per token of a model, node by node of its plan: formulas, nothing is run.

A multiplication and an addition are two. Counted are matrix products, convolutions and triangular
solves; norms, activations, gates' nonlinearities, the embedding's lookup and the one-time warm-up
on persistent tokens are not. Attention is charged for the keys a row can see, on average over the
sequence, whatever a masked implementation computes besides.
"""

from dataclasses import dataclass

from blocks.feedforward import hidden_width
from blocks.gates import RANK
from blocks.reads import Frames, Tokens
from blocks.spec import (
    Attention,
    AttentionSpec,
    BlockSpec,
    Conv,
    FeedForwardSpec,
    Mac,
    Mag,
    Mal,
    MemorySpec,
)
from playground.compile.plan import Node, Plan
from playground.compile.rule_flops import read_flops, rule_flops
from playground.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class NodeFlops:
    """FLOPs of one node per token, and of its parts; `flops` is their sum."""

    name: str
    kind: str
    parts: dict[str, float]

    @property
    def flops(self) -> float:
        return sum(self.parts.values())


def node_flops(plan: Plan, length: int) -> tuple[NodeFlops, ...]:
    """FLOPs per token of every node, on average over a sequence.

    Args:
        plan: after `select_lowering`: the form of a memory decides what it computes.
        length: tokens of the sequence, at least 1.
    """
    return tuple(
        NodeFlops(name=n.name, kind=n.kind, parts=_parts(plan.model, n, length)) for n in plan.nodes
    )


def flops_per_token(plan: Plan, length: int) -> int:
    """FLOPs per token of a forward pass over `length` tokens, all nodes together."""
    return round(sum(node.flops for node in node_flops(plan, length)))


def _parts(model: ModelSpec, node: Node, length: int) -> dict[str, float]:
    if node.kind in ("embedding", "head"):
        return _ends(model)[node.kind]
    if not node.name.startswith("blocks."):
        return {}
    block = model.blocks()[int(node.name.split(".")[1])]
    if isinstance(node.spec, MemorySpec):
        return memory_flops(node.spec, model.dim, node.lowering, length)
    if isinstance(node.spec, AttentionSpec):
        return _attention(block, node.spec, model, length)
    if isinstance(node.spec, FeedForwardSpec):
        matrices = 3 if node.spec.kind == "swiglu" else 2
        return {"network": 2.0 * matrices * model.dim * hidden_width(node.spec, model.dim)}
    if node.kind == "retrieve" and isinstance(block, Mac):
        return _retrieve(block.memory, model.dim)
    if node.kind == "conv" and isinstance(block, Conv):
        return {"project": 6.0 * model.dim**2, "conv": 2.0 * block.width * model.dim}
    return {}


# the two ends


def _ends(model: ModelSpec) -> dict[str, dict[str, float]]:
    """Parts of embedding and head; a series' forecast is shared out among its patches."""
    reads, dim = model.reads, model.dim
    if isinstance(reads, Tokens):
        return {"embedding": {}, "head": {"logits": 2.0 * dim * model.vocab}}
    if isinstance(reads, Frames):
        width, outputs = reads.width or 0, reads.outputs or 0
        return {"embedding": {"map": 2.0 * width * dim}, "head": {"map": 2.0 * dim * outputs}}
    horizon, lookback = reads.horizon or 0, reads.lookback or 0
    read = reads.patches if reads.forecast == "all" else 1
    head = {"map": 2.0 * read * dim * horizon / reads.patches}
    if reads.skip != "none":
        head["skip"] = 2.0 * lookback * horizon / reads.patches
    return {"embedding": {"map": 2.0 * reads.patch * dim}, "head": head}


# memory


def memory_flops(spec: MemorySpec, dim: int, lowering: str, length: int) -> dict[str, float]:
    """FLOPs per token of a memory layer: projections, conv, gates, the rule's parts, output."""
    width = dim // spec.heads
    rule = rule_flops(spec.rule, width, lowering=lowering, length=length)
    return {
        "project": 6.0 * dim**2,
        "conv": 6.0 * spec.conv * dim,
        "gates": _gates(spec, dim),
        **{f"rule.{part}": spec.heads * flops for part, flops in rule.items()},
        "output": 4.0 * dim**2,
    }


def _gates(spec: MemorySpec, dim: int) -> float:
    """One product reads every gate; channel gates are of low rank."""
    width = dim // spec.heads
    shapes = {name: spec.rule.shapes(width)[name] for name in spec.rule.writes(width)}
    shared = not getattr(spec.rule, "per_layer", True)
    total = 0.0
    for gate in spec.rule.gates.values():
        side = {"channel": 0, "value_channel": 1}.get(gate.kind)
        for shape in list(shapes.values())[: 1 if shared else None]:
            if gate.kind == "head":
                continue
            outputs = spec.heads * (gate.width or 1)
            if side is None:
                total += 2.0 * dim * outputs
            else:
                rank = min(RANK, dim)
                total += 2.0 * dim * rank + 2.0 * rank * outputs * shape[side]
    return total


def _retrieve(spec: MemorySpec, dim: int) -> dict[str, float]:
    return {
        "project": 2.0 * dim**2,
        "conv": 2.0 * spec.conv * dim,
        "read": spec.heads * read_flops(spec.rule, dim // spec.heads),
        "output": 4.0 * dim**2,
    }


# attention


def _attention(
    block: BlockSpec, spec: AttentionSpec, model: ModelSpec, length: int
) -> dict[str, float]:
    dim, inner = model.dim, model.dim
    keys = (spec.kv_heads or spec.heads) * (dim // spec.heads)
    rows = 2 if isinstance(block, Mac) else 1  # MAC makes keys of retrieved rows too
    made = 0.0 if isinstance(block, Mag) and block.shared_qkv else inner + 2.0 * rows * keys
    return {
        "project": 2.0 * dim * made,
        "scores": 4.0 * inner * _visible(block, model.persistent_tokens, length),
        "output": 2.0 * inner * dim,
    }


def _visible(block: BlockSpec, persistent: int, length: int) -> float:
    """Keys a row can see, on average over a sequence of `length` tokens."""
    if isinstance(block, Mac):
        whole, rest = divmod(length, block.segment_len)
        total = whole * _triangle(block.segment_len) + _triangle(rest)
        return persistent + 2.0 * total / length
    window = block.window_len if isinstance(block, Attention | Mag | Mal) else None
    reach = length if window is None else min(window, length)
    return persistent + (_triangle(reach) + (length - reach) * reach) / length


def _triangle(n: int) -> float:
    return n * (n + 1) / 2.0
