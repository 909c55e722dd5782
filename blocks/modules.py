"""Which module builds which block spec."""

from collections.abc import Callable, Mapping
from typing import Any

from blocks.attention_block import AttentionBlock
from blocks.block import Block, Setting
from blocks.conv_block import ConvBlock
from blocks.identity_block import IdentityBlock
from blocks.lmm import LmmBlock
from blocks.mac import MacBlock
from blocks.mag import MagBlock
from blocks.mal import MalBlock
from blocks.positions_block import PositionsBlock

BLOCK_MODULES: Mapping[str, Callable[[Any, Setting], Block]] = {
    "lmm": LmmBlock,
    "mac": MacBlock,
    "mag": MagBlock,
    "mal": MalBlock,
    "attention": AttentionBlock,
    "conv": ConvBlock,
    "positions": PositionsBlock,
    "none": IdentityBlock,
}
