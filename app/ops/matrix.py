"""A frozen weight matrix in the engine's packed layout, and how GGUF blocks become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, ceil_div, grid_1d, persistent
from app.gpu.kernels import Kernel

Format = Literal["int4", "nf4", "int8", "f16", "f32"]

GROUP_SIZE = 32
NF4_BLOCK = 64
NF4_TILE = 16
"""Rows and blocks whose NF4 scales are quantized together."""

MAP_WORDS = 256
WORDS_PER_OCTET: dict[Format, int] = {"int4": 1, "nf4": 1, "int8": 2, "f16": 4, "f32": 8}
FORMAT_OF_TYPE: dict[str, Format] = {
    "Q4_0": "int4",
    "Q4_1": "int4",
    "Q8_0": "int8",
    "BF16": "f16",
    "F16": "f16",
    "F32": "f32",
}
"""Type of a stored tensor → format. BF16 has fewer bits than f16 and a wider range: from 2^-17 on
values are exact, smaller ones off by at most 2^-25; what is beyond ±65504 is cut there."""

TYPE_CONSTANT = {"Q4_0": 0, "Q4_1": 1, "Q8_0": 2, "F16": 3, "F32": 4, "BF16": 5}


@dataclass(frozen=True, eq=False)
class Matrix:
    """W (num_rows, num_columns), packed along columns; rows are padded to a multiple of 8.

    Attributes:
        words: Packed weights, u32, word-major: see wgsl/lib/weights_*.wgsl.
        scales: (num_columns / 32, stride) pairs of f16; as wgsl/lib/weights_nf4.wgsl says for
            nf4; the words again where there are none.
        stride: Rows with padding, the row stride of the layout.
    """

    format: Format
    num_rows: int
    num_columns: int
    stride: int
    words: Tensor
    scales: Tensor

    @property
    def prelude(self) -> str:
        """Stem of the WGSL prelude that reads this layout."""
        return f"weights_{self.format}"

    @property
    def bindings(self) -> tuple[Tensor, Tensor]:
        """Bindings 0 and 1 of every kernel that reads a matrix."""
        return (self.words, self.scales)

    @property
    def size_bytes(self) -> int:
        """Bytes on the GPU."""
        scales = self.scales.size_bytes if self.scales is not self.words else 0
        return self.words.size_bytes + scales


def new_matrix(label: str, format: Format, num_rows: int, num_columns: int) -> Matrix:
    """Return a matrix whose storages have no buffers yet.

    Raises:
        ShapeError: num_columns is not a multiple of 32.
    """
    if num_columns % GROUP_SIZE:
        raise ShapeError(
            f"{label} has {num_columns} columns: the engine packs weights in groups of "
            f"{GROUP_SIZE}, so a multiple of {GROUP_SIZE} is needed"
        )
    stride = -(-num_rows // 8) * 8
    octets = num_columns // 8
    words = persistent(label, (octets * WORDS_PER_OCTET[format], stride), "weights", dtype="u32")
    scales = words
    if format in ("int4", "int8"):
        groups = num_columns // GROUP_SIZE
        scales = persistent(f"{label}.scales", (groups, stride), "weights", dtype="u32")
    elif format == "nf4":
        size = nf4_scale_words(stride, num_columns)
        scales = persistent(f"{label}.scales", (size,), "weights", dtype="u32")
    return Matrix(format, num_rows, num_columns, stride, words, scales)


def nf4_scale_words(stride: int, num_columns: int) -> int:
    """Return the words of an NF4 matrix's scales, whole vec4u: see wgsl/lib/weights_nf4.wgsl."""
    quads, blocks = stride // 4, ceil_div(num_columns, NF4_BLOCK)
    pairs = ceil_div(blocks, NF4_TILE) * 2 * ceil_div(quads, 4)
    return ceil_div(MAP_WORDS + pairs + blocks * quads, 4) * 4


def repack(
    graph: Graph,
    blocks: Tensor,
    matrix: Matrix,
    *,
    gguf_type: str,
    num_rows: int,
    first_row: int,
    offset: int,
    head_dim: int = 0,
) -> None:
    """Write rows of a GGUF tensor into a matrix.

    Args:
        graph: Where to record.
        blocks: Raw bytes of the rows, u32.
        matrix: Destination.
        gguf_type: Q4_0, Q4_1, Q8_0, F16, BF16 or F32.
        num_rows: Rows in `blocks`.
        first_row: Which row of the tensor the first one is.
        offset: Row of the matrix where the tensor starts (stacked modules).
        head_dim: Size of a head where rows are permuted for interleaved RoPE, else 0.

    Reference: app.reference.gguf_blocks.
    """
    groups = matrix.num_columns // GROUP_SIZE
    kernel = Kernel("repack", ("half_exact", "into_packed"), (("TYPE", TYPE_CONSTANT[gguf_type]),))
    # Dense formats have no scales: the kernel is given a scratch tensor it never writes.
    scales = matrix.scales
    if scales is matrix.words:
        scales = graph.empty("no scales", 4)
    graph.dispatch(
        kernel,
        (blocks, matrix.words, scales),
        grid_1d(num_rows * groups, 64),
        (num_rows, first_row, groups, matrix.stride, offset, head_dim),
        flops=float(num_rows * matrix.num_columns * 8),
    )
