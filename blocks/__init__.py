"""What a model is composed of: memory layer, attention, the compositions, the model itself."""

from blocks.frames import FrameModel
from blocks.init import initialise
from blocks.memory import MemoryLayer, MemoryState, freeze_memory
from blocks.model import AbstractModel, Model, ModelState
from blocks.modules import BLOCK_MODULES
from blocks.reads import READS, Frames, Reads, Series, Tokens
from blocks.series import SeriesModel
from blocks.spec import BLOCKS, BlockSpec

__all__ = [
    "BLOCKS",
    "BLOCK_MODULES",
    "READS",
    "AbstractModel",
    "BlockSpec",
    "FrameModel",
    "Frames",
    "MemoryLayer",
    "MemoryState",
    "Model",
    "ModelState",
    "Reads",
    "Series",
    "SeriesModel",
    "Tokens",
    "freeze_memory",
    "initialise",
]
