"""Our Titans layer beside titans-pytorch's, with the same threads; see peer.py and speed.py.

The peer's three settings are three algorithms, so no gate can hold them to ours: they are peers to
compare with, and labelled.
"""

from collections.abc import Callable

import peer
import pytest
import torch
from torch import nn

from blocks.init import initialise
from blocks.memory import MemoryLayer
from blocks.spec import MemorySpec
from memory_rules import RULES
from playground.bench import MODES, Mode, Shape, check_scan
from playground.compile import LOWERINGS

pytestmark = [
    pytest.mark.skipif(not peer.is_installed(), reason=peer.MISSING),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the peer and what it imports
]
SHAPE, CHUNK = Shape(), 64
PAPER_SHAPE = Shape(length=128)  # its paper setting takes seconds for a thousand tokens
SETTINGS = {"default": (CHUNK, None), "paper": (1, CHUNK)}
(CHUNKED,) = (low for low in LOWERINGS if low.name == "chunked")


def tokens(shape: Shape) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape.batch, shape.length, shape.heads * shape.width, generator=generator)


def layer_work(
    mode: Mode, run: Callable[[torch.Tensor], torch.Tensor], module: nn.Module, shape: Shape
) -> Callable[[], object]:
    x = tokens(shape)
    if mode == "forward":
        return peer.layer_forward(run, x)
    return peer.layer_forward_backward(run, x, peer.learned(module))


def group_of(mode: Mode, shape: Shape) -> str:
    return f"titans layer {mode} {shape}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", (SHAPE, PAPER_SHAPE), ids=str)
@pytest.mark.parametrize("compiled", (False, True), ids=("eager", "compiled"))
def test_ours(mode: Mode, shape: Shape, compiled: bool, take: Callable[..., None]) -> None:
    rule = RULES["titans"](chunk_size=CHUNK, expand=2.0)
    scan = CHUNKED.bind(rule, compiled)
    gate = check_scan(rule, scan, shape, gradients=mode != "forward")
    assert gate.green, f"no time for a wrong result: {gate.reason}"
    layer = MemoryLayer(MemorySpec(rule=rule, heads=shape.heads), 256, scan=scan)
    initialise(layer, 0)
    body = torch.compile(layer, fullgraph=True) if compiled else layer

    def run(x: torch.Tensor) -> torch.Tensor:
        return body(x, layer.start(x.shape[0]))[0]

    function = layer_work(mode, run, layer, shape)
    take(function, group=group_of(mode, shape), tokens=shape.tokens, error=gate.error)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("setting", "compiled", "shape"),
    (("default", False, SHAPE), ("default", True, SHAPE), ("paper", False, PAPER_SHAPE)),
    ids=("default-eager", "default-compiled", "paper-eager"),
)
def test_peer(
    mode: Mode, setting: str, compiled: bool, shape: Shape, take: Callable[..., None]
) -> None:
    chunk_size, batch_size = SETTINGS[setting]
    module = peer.make_peer(
        heads=shape.heads, width=shape.width, chunk_size=chunk_size, batch_size=batch_size
    )
    body = torch.compile(module) if compiled else module

    def run(x: torch.Tensor) -> torch.Tensor:
        return body(x)[0]

    function = layer_work(mode, run, module, shape)
    take(function, group=group_of(mode, shape), tokens=shape.tokens, peer="titans-pytorch 0.5.5")
