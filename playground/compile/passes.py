"""The passes: each makes one kind of choice, gives its reason, and changes no number."""

from collections.abc import Iterator
from dataclasses import replace

from blocks.attend import choose_backend
from blocks.reads import Frames, Series
from blocks.spec import (
    Attention,
    BlockSpec,
    Conv,
    Identity,
    Lmm,
    Mac,
    Mag,
    Mal,
    MemorySpec,
    Positions,
)
from playground.compile.lowering import LOWERINGS, classify, loops_on_cpu
from playground.compile.lowering import choose as pick
from playground.compile.plan import Node, Plan
from playground.compile.short_conv import choose_short_conv
from playground.compile.target import Target
from playground.errors import LoweringError, SpecError
from playground.spec import ModelSpec
from playground.spec.ends import require_sizes


def expand(plan: Plan, target: Target, asked: str) -> Plan:
    """Write the model out: one node per part, in the order in which they run."""
    require_sizes(plan.model.reads)
    nodes = [Node(name="embedding", kind="embedding")]
    for index, block in enumerate(plan.model.blocks()):
        nodes += _block_nodes(f"blocks.{index}", block, nodes[-1].name)
    nodes.append(Node(name="norm", kind="norm", inputs=(nodes[-1].name,)))
    nodes.append(Node(name="head", kind="head", inputs=("norm",)))
    return replace(plan, nodes=tuple(nodes))


def _block_nodes(name: str, block: BlockSpec, before: str) -> Iterator[Node]:
    memory, attend = f"{name}.memory", f"{name}.attention"
    last = attend
    match block:
        case Lmm():
            yield Node(name=memory, kind="memory", inputs=(before,), spec=block.memory)
            last = memory
        case Mac():
            read = f"{name}.retrieve"
            yield Node(name=read, kind="retrieve", inputs=(before,))
            yield Node(name=attend, kind="attention", inputs=(before, read), spec=block.attention)
            yield Node(name=memory, kind="memory", inputs=(attend,), spec=block.memory)
            last = f"{name}.gate"
            yield Node(name=last, kind="gate", inputs=(attend, memory))
        case Mag():
            yield Node(name=attend, kind="attention", inputs=(before,), spec=block.attention)
            yield Node(name=memory, kind="memory", inputs=(before,), spec=block.memory)
            last = f"{name}.gate"
            yield Node(name=last, kind="gate", inputs=(attend, memory))
        case Mal():
            yield Node(name=memory, kind="memory", inputs=(before,), spec=block.memory)
            yield Node(name=attend, kind="attention", inputs=(memory,), spec=block.attention)
        case Attention():
            yield Node(name=attend, kind="attention", inputs=(before,), spec=block.attention)
        case Conv():
            last = f"{name}.conv"
            yield Node(name=last, kind="conv", inputs=(before,), shape=f"width {block.width}")
        case Positions():
            last = f"{name}.positions"
            shape = f"period {block.period}"
            yield Node(name=last, kind="positions", inputs=(before,), shape=shape)
        case Identity():
            last = before
    if block.feedforward.kind != "none":
        yield Node(
            name=f"{name}.feedforward", kind="feedforward", inputs=(last,), spec=block.feedforward
        )


def resolve_shapes(plan: Plan, target: Target, asked: str) -> Plan:
    """Say what every part holds."""
    model, ends = plan.model, _ends(plan.model)

    def shaped(node: Node) -> Node:
        """The part with its sizes in words."""
        spec = node.spec
        if isinstance(spec, MemorySpec):
            width = model.dim // spec.heads
            matrices = spec.rule.shapes(width).items()
            sizes = ", ".join(f"{n} {i}x{o}" for n, (i, o) in matrices)
            return replace(node, shape=f"{spec.heads} heads of {width}: {sizes}")
        return replace(node, shape=ends.get(node.kind, node.shape))

    return replace(plan, nodes=tuple(shaped(n) for n in plan.nodes))


def _ends(model: ModelSpec) -> dict[str, str]:
    """What embedding and head hold."""
    reads, dim = model.reads, model.dim
    if isinstance(reads, Series):
        read = reads.patches if reads.forecast == "all" else 1
        beside = f", and {reads.lookback} x {reads.horizon}" if reads.skip != "none" else ""
        return {
            "embedding": f"{reads.patches} patches: {reads.patch} x {dim}",
            "head": f"{read * dim} x {reads.horizon}{beside}",
        }
    if isinstance(reads, Frames):
        return {"embedding": f"{reads.width} x {dim}", "head": f"{dim} x {reads.outputs}"}
    tied = ", tied" if model.tie_embeddings else ""
    return {"embedding": f"{model.vocab} x {dim}", "head": f"{dim} x {model.vocab}{tied}"}


def classify_rules(plan: Plan, target: Target, asked: str) -> Plan:
    """Find the class of every rule, and with it which chunk form is exact."""

    def classified(node: Node) -> Node:
        """The memory with its class and why."""
        assert isinstance(node.spec, MemorySpec)
        kind, why = classify(node.spec.rule)
        return node.because(f"class {kind}: {why}", rule_class=kind)

    return plan.map("memory", classified)


def select_lowering(plan: Plan, target: Target, asked: str) -> Plan:
    """Give every memory the preferred lowering that does not refuse it, or the one asked for."""
    names = [low.name for low in LOWERINGS]
    if asked != "auto" and asked not in names:
        raise SpecError(
            "lowering", f"{asked!r} is not a lowering.", allowed=["auto", *names], found=asked
        )

    def choose(node: Node) -> Node:
        """The memory with the best lowering that can run it, and why not a better one."""
        assert isinstance(node.spec, MemorySpec)
        rule = node.spec.rule
        best, refused = pick(rule, target, asked)
        if best is None:
            raise LoweringError(
                node.name,
                f"no lowering can run {rule.kind} on {target.device}.",
                refused,
                fix="Write lowering: auto." if asked != "auto" else "",
            )
        better = [f"not {n}: {why}" for n, why in refused.items() if n != best.name]
        words = [*better, best.says(rule)]
        return node.because("; ".join(word for word in words if word), lowering=best.name)

    return plan.map("memory", choose)


def select_short_conv(plan: Plan, target: Target, asked: str) -> Plan:
    """Give every memory what runs its convolutions: one kernel, or torch's own operations."""

    def choose(node: Node) -> Node:
        """The memory with the choice and why."""
        assert isinstance(node.spec, MemorySpec)
        conv, why = choose_short_conv(node.spec, target, node.lowering)
        return node.because(why, conv=conv)

    return plan.map("memory", choose)


def select_attention(plan: Plan, target: Target, asked: str) -> Plan:
    """Give every attention the backend that can run it."""

    def choose(node: Node) -> Node:
        """The attention with its backend and why."""
        assert node.spec is not None and not isinstance(node.spec, MemorySpec)
        try:
            backend, why = choose_backend(node.spec, target.device)  # pyright: ignore[reportArgumentType]
        except ValueError as error:
            raise LoweringError(node.name, str(error)) from None
        return node.because(why, backend=backend)

    return plan.map("attention", choose)


def select_compile(plan: Plan, target: Target, asked: str) -> Plan:
    """Say what is compiled: whole blocks, except those with a loop over tokens; or loops alone."""
    looping = {
        n.name.rpartition(".")[0] for n in plan.of_kind("memory") if n.lowering == "recurrent"
    }

    def choose(node: Node) -> Node:
        """The part with whether it is compiled."""
        block = node.name.rpartition(".")[0]
        if not block.startswith("blocks."):
            return node
        if target.compile == "loops":
            loop = _loops(node, target)
            reason = "compile: loops" if loop else "compile: loops, and it has none over chunks"
            return node.because(reason, compiled=False, scan_compiled=loop)
        if not target.compile:
            return node.because("compile: false", compiled=False)
        if block in looping:
            return node.because("a token loop is never compiled", compiled=False)
        node = replace(node, scan_compiled=node.kind == "memory")
        if node.rule_class in ("A", "B") and not _loops(node, target):
            return node.because(_PER_LENGTH, compiled=True, graph_per_length=True)
        return node.because("", compiled=True)

    return replace(plan, nodes=tuple(choose(n) for n in plan.nodes))


def _loops(node: Node, target: Target) -> bool:
    """Whether a memory goes through its chunks behind one operator."""
    if node.rule_class in ("C", "C'", "D"):
        return node.lowering != "recurrent"
    on_cpu = node.lowering == "chunked" and target.device == "cpu"
    return on_cpu and isinstance(node.spec, MemorySpec) and loops_on_cpu(node.spec.rule)


_PER_LENGTH = "a graph per length: with symbols in its padding one takes minutes to compile"


def select_replay(plan: Plan, target: Target, asked: str) -> Plan:
    """Say which blocks are replayed as CUDA graphs, where that was asked for.

    Raises:
        LoweringError: no block can be; it lists each one's reason.
    """
    if not target.graphs:
        return plan
    why = {f"blocks.{i}": "" for i in range(len(plan.model.blocks()))}
    for node in plan.nodes:
        block = node.name.rpartition(".")[0]
        if block in why:
            why[block] = why[block] or _not_replayed(node, target)
    if all(why.values()):
        raise LoweringError(
            "compile_mode", "no block can be replayed.", why, fix="Write compile_mode: default."
        )

    def choose(node: Node) -> Node:
        """The part with whether it is replayed, and why not."""
        reason = why.get(node.name.rpartition(".")[0])
        if reason is None or not node.compiled:
            return node
        if reason:
            return node.because(f"not replayed: {reason}")
        return node.because(
            "replayed: the first length, and tokens of a steady state", replayed=True
        )

    return replace(plan, nodes=tuple(choose(n) for n in plan.nodes))


def _not_replayed(node: Node, target: Target) -> str:
    """Why a part keeps its block from being a CUDA graph; empty if it does not."""
    if target.device != "cuda":
        return f"CUDA graphs need CUDA, target is {target.device}"
    if not node.compiled:
        return "it is not compiled"
    if node.kind == "memory" and node.rule_class not in ("A", "B"):
        return f"class {node.rule_class} asks the host where in its chunk it is"
    return ""
