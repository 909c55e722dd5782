"""The typed program a spec becomes: nodes in order, each with what was chosen for it and why."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from blocks.spec import AttentionSpec, FeedForwardSpec, MemorySpec
from playground.spec import ModelSpec

Part = MemorySpec | AttentionSpec | FeedForwardSpec | None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One part of a model.

    name: its path, such as `blocks.0.memory`; kind: embedding, memory, attention, ...;
    inputs: names of the nodes it reads; shape: what it holds, in words; rule_class, lowering,
    backend, conv, compiled (with its block), scan_compiled (what its scan runs), graph_per_length,
    replayed: choices of later passes; why: the reason of each choice.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    spec: Part = None
    shape: str = ""
    rule_class: str = ""
    lowering: str = ""
    backend: str = ""
    conv: str = ""
    compiled: bool | None = None
    scan_compiled: bool = False
    graph_per_length: bool = False
    replayed: bool = False
    why: tuple[str, ...] = ()

    def because(self, reason: str, **choices: object) -> "Node":
        """The node with more choices made, and the reason for them."""
        why = (*self.why, reason) if reason else self.why
        return replace(self, why=why, **choices)

    @property
    def choice(self) -> str:
        """What will run it, in a word or two."""
        words = [self.lowering or self.backend]
        if self.compiled is not None:
            loop = "compiled loop" if self.scan_compiled else "eager"
            words.append("compiled" if self.compiled else loop)
        if self.replayed:
            words.append("replayed")
        return " ".join(word for word in words if word)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Nodes in the order in which they run."""

    model: ModelSpec
    nodes: tuple[Node, ...] = ()

    def map(self, kind: str, change: Callable[[Node], Node]) -> "Plan":
        """The plan with every node of a kind changed."""
        nodes = tuple(change(n) if n.kind == kind else n for n in self.nodes)
        return replace(self, nodes=nodes)

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(n for n in self.nodes if n.name == name)

    def of_kind(self, kind: str) -> tuple[Node, ...]:
        """Every node of a kind."""
        return tuple(n for n in self.nodes if n.kind == kind)

    def eager_blocks(self) -> frozenset[str]:
        """The blocks that no graph is made of, as `blocks.0`."""
        return frozenset(n.name.rpartition(".")[0] for n in self.nodes if n.compiled is False)

    def rows(self) -> list[dict[str, str]]:
        """The plan as a table: name, kind, inputs, shape, choice, why."""
        return [
            {
                "name": n.name,
                "kind": n.kind,
                "inputs": ", ".join(n.inputs),
                "shape": n.shape,
                "choice": n.choice,
                "why": "; ".join(n.why),
            }
            for n in self.nodes
        ]

    def __str__(self) -> str:
        rows = [
            (
                r["name"],
                r["kind"],
                f"<- {r['inputs']}" if r["inputs"] else "",
                r["choice"],
                "; ".join(word for word in (r["shape"], r["why"]) if word),
            )
            for r in self.rows()
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(4)] if rows else []
        lines = []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
            lines.append("  ".join([*cells, row[4]]).rstrip())
        return "\n".join(lines)


class PlanError(AssertionError):
    """A pass left a plan that does not hold together: a bug of ours."""


def verify(plan: Plan, done: frozenset[str]) -> None:
    """Check what must hold after the passes named in `done`.

    Raises:
        PlanError: naming the node.
    """
    seen: set[str] = set()
    for node in plan.nodes:
        if node.name in seen:
            raise PlanError(f"{node.name}: stands twice")
        if missing := [name for name in node.inputs if name not in seen]:
            raise PlanError(f"{node.name}: reads {missing}, which has not run")
        seen.add(node.name)
        if node.kind == "memory":
            for pass_, value in (
                ("classify_rules", node.rule_class),
                ("select_lowering", node.lowering),
                ("select_short_conv", node.conv),
            ):
                if pass_ in done and not value:
                    raise PlanError(f"{node.name}: {pass_} left it open")
        if node.kind == "attention" and "select_attention" in done and not node.backend:
            raise PlanError(f"{node.name}: select_attention left it open")
