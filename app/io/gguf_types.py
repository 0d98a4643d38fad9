"""What a GGUF file is made of: value types, tensor types and their block sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from app.io.stored_tensor import StoredTensor

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_NAME_BYTES = 64
MAX_DIMENSIONS = 4

SCALAR_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}
"""Value type → struct and numpy letter of the numbers; bool, string and array are apart."""

UINT32 = 4
INT32 = 5
FLOAT32 = 6
BOOL = 7
STRING = 8
ARRAY = 9
UINT64 = 10
INT64 = 11
FLOAT64 = 12


class BlockLayout(NamedTuple):
    """A tensor type: how many consecutive weights of a row share a block of how many bytes."""

    name: str
    block_weights: int
    block_bytes: int


TENSOR_TYPES: dict[int, BlockLayout] = {
    0: BlockLayout("F32", 1, 4),
    1: BlockLayout("F16", 1, 2),
    2: BlockLayout("Q4_0", 32, 18),
    3: BlockLayout("Q4_1", 32, 20),
    6: BlockLayout("Q5_0", 32, 22),
    7: BlockLayout("Q5_1", 32, 24),
    8: BlockLayout("Q8_0", 32, 34),
    10: BlockLayout("Q2_K", 256, 84),
    11: BlockLayout("Q3_K", 256, 110),
    12: BlockLayout("Q4_K", 256, 144),
    13: BlockLayout("Q5_K", 256, 176),
    14: BlockLayout("Q6_K", 256, 210),
    16: BlockLayout("IQ2_XXS", 256, 66),
    17: BlockLayout("IQ2_XS", 256, 74),
    18: BlockLayout("IQ3_XXS", 256, 98),
    19: BlockLayout("IQ1_S", 256, 50),
    20: BlockLayout("IQ4_NL", 32, 18),
    21: BlockLayout("IQ3_S", 256, 110),
    22: BlockLayout("IQ2_S", 256, 82),
    23: BlockLayout("IQ4_XS", 256, 136),
    24: BlockLayout("I8", 1, 1),
    25: BlockLayout("I16", 1, 2),
    26: BlockLayout("I32", 1, 4),
    27: BlockLayout("I64", 1, 8),
    28: BlockLayout("F64", 1, 8),
    29: BlockLayout("IQ1_M", 256, 56),
    30: BlockLayout("BF16", 1, 2),
    34: BlockLayout("TQ1_0", 256, 54),
    35: BlockLayout("TQ2_0", 256, 66),
    39: BlockLayout("MXFP4", 32, 17),
}
"""Type number → layout. More than the engine computes with, so that errors can name them."""

TYPE_NUMBERS = {layout.name: number for number, layout in TENSOR_TYPES.items()}


@dataclass(frozen=True)
class GgufFile:
    """The header of a GGUF file; the weights stay where they are.

    In `metadata`, arrays of strings are lists and arrays of numbers are numpy arrays. Shapes
    are the reverse of the order in the file.

    Attributes:
        has_interleaved_heads: Rows of q and k are permuted for interleaved RoPE.
    """

    has_interleaved_heads: ClassVar[bool] = True

    version: int
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]
    alignment: int
    data_offset: int
    source_name: str = "model"


def padded(size: int, alignment: int) -> int:
    """Round a size up to a multiple of the alignment."""
    return -(-size // alignment) * alignment
