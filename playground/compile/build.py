"""From a plan to a module: the only place that makes blocks."""

from dataclasses import replace

import torch
from torch import nn

from blocks.attention import Projections
from blocks.block import Setting
from blocks.frames import FrameModel
from blocks.init import initialise
from blocks.model import AbstractModel, Model
from blocks.modules import BLOCK_MODULES
from blocks.reads import Frames, Series
from blocks.series import SeriesModel
from kernels.assembler import wrong_on
from kernels.launch import installed
from memory_rules import Scan
from playground.compile.compiled import CompiledBody
from playground.compile.lowering import LOWERINGS
from playground.compile.plan import Plan
from playground.compile.short_conv import short_conv_of
from playground.compile.target import Target
from playground.spec import ModelSpec

GRAPHS = 64  # of one block: training and evaluation, batch sizes, with and without padding


def construct(plan: Plan, *, seed: int) -> AbstractModel:
    """The model of a plan, with its initial weights, on the CPU; its blocks not compiled yet."""
    spec = plan.model
    model = _around([_block(plan, spec, i) for i in range(spec.depth)], spec)
    initialise(model, seed)
    return model


def _around(blocks: list[nn.Module], spec: ModelSpec) -> AbstractModel:
    """The model of these blocks, with the ends of what it reads."""
    reads, dim, norm, dropout = spec.reads, spec.dim, spec.norm, spec.dropout
    if isinstance(reads, Series):
        return SeriesModel(blocks, reads, dim=dim, norm=norm, dropout=dropout)
    if isinstance(reads, Frames):
        width, outputs = reads.width or 0, reads.outputs or 0  # the plan has refused None
        return FrameModel(blocks, width=width, outputs=outputs, dim=dim, norm=norm, dropout=dropout)
    tied = spec.tie_embeddings
    return Model(blocks, vocab=spec.vocab, dim=dim, norm=norm, tie_embeddings=tied, dropout=dropout)


def _block(plan: Plan, spec: ModelSpec, index: int) -> nn.Module:
    block = spec.blocks()[index]
    setting = Setting(
        dim=spec.dim,
        rope=spec.positions == "rope",
        persistent_tokens=spec.persistent_tokens,
        norm=spec.norm,
    )
    if hasattr(block, "memory"):
        scan = _scan(plan, f"blocks.{index}.memory")
        conv = short_conv_of(plan.node(f"blocks.{index}.memory").conv)
        setting = replace(setting, scan=scan, short_conv=conv)
    return BLOCK_MODULES[block.kind](block, setting)


def _scan(plan: Plan, name: str) -> Scan:
    node = plan.node(name)
    (lowering,) = (low for low in LOWERINGS if low.name == node.lowering)
    return lowering.bind(node.spec.rule, node.scan_compiled)  # pyright: ignore


def place(model: AbstractModel, target: Target) -> AbstractModel:
    """The model on its device, with the attention backends that run there."""
    if target.capability is not None and installed():
        wrong_on(target.capability[0])  # what torch.compile makes is assembled by the same ptxas
    for module in model.modules():
        if isinstance(module, Projections):
            module.select_backend(torch.device(target.device))
    return model.to(target.place or target.device)


def compile_bodies(model: AbstractModel, plan: Plan) -> None:
    """Put torch.compile around every body of every block that the plan says to compile.

    Blocks of one kind share their graphs: the parameters are inputs of the graph.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
    eager = plan.eager_blocks()
    replayed = {n.name.rpartition(".")[0] for n in plan.nodes if n.replayed}
    static = {n.name.rpartition(".")[0] for n in plan.nodes if n.graph_per_length}
    for index, block in enumerate(model.blocks):
        here = f"blocks.{index}"
        if here in eager:
            continue
        only = getattr(block, "segment_len", None)
        for name in block.bodies:  # pyright: ignore
            body = CompiledBody(
                getattr(block, name), only, symbolic=here not in static, replayed=here in replayed
            )
            setattr(block, name, body)
