"""Which module builds which block spec."""

from collections.abc import Mapping

from torch import nn

from blocks.attention_block import AttentionBlock
from blocks.conv_block import ConvBlock
from blocks.identity_block import IdentityBlock
from blocks.lmm import LmmBlock
from blocks.mac import MacBlock
from blocks.mag import MagBlock
from blocks.mal import MalBlock

BLOCK_MODULES: Mapping[str, type[nn.Module]] = {
    "lmm": LmmBlock,
    "mac": MacBlock,
    "mag": MagBlock,
    "mal": MalBlock,
    "attention": AttentionBlock,
    "conv": ConvBlock,
    "none": IdentityBlock,
}
