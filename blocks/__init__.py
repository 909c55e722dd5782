"""What a model is composed of: memory layer, attention, the compositions, the model itself."""

from blocks.init import initialise
from blocks.memory import MemoryLayer, MemoryState, freeze_memory
from blocks.model import Model, ModelState
from blocks.modules import BLOCK_MODULES
from blocks.spec import BLOCKS, BlockSpec

__all__ = [
    "BLOCKS",
    "BLOCK_MODULES",
    "BlockSpec",
    "MemoryLayer",
    "MemoryState",
    "Model",
    "ModelState",
    "freeze_memory",
    "initialise",
]
