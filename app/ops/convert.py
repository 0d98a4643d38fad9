"""A packed matrix in another format."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, grid_1d
from app.gpu.kernels import Kernel
from app.ops.matrix import Matrix

KERNELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "f32": ("convert_f32", ()),
    "f16": ("convert_f16", ("half_exact",)),
}
"""Target format → shader, and the preludes it wants before that of the source."""


def convert(graph: Graph, source: Matrix, target: Matrix) -> None:
    """Record the weights of `source`, dequantized, into `target`.

    f32 takes every weight as it is, f16 the nearest value that it has.

    Args:
        graph: Where to record.
        source: Any format.
        target: f32 or f16, of the same shape.

    Raises:
        ShapeError: the shapes differ, or the target is quantized.

    Reference: app.reference.gguf_blocks.
    """
    shapes = [(matrix.num_rows, matrix.num_columns) for matrix in (source, target)]
    if shapes[0] != shapes[1] or target.format not in KERNELS:
        raise ShapeError(
            f"a {source.format} matrix {shapes[0]} cannot become a {target.format} one {shapes[1]}:"
            f" give one of {', '.join(KERNELS)} and of the same shape"
        )
    shader, preludes = KERNELS[target.format]
    octets = source.num_columns // 8
    graph.dispatch(
        Kernel(shader, (*preludes, source.prelude)),
        (*source.bindings, target.words),
        grid_1d(octets * source.stride, 64),
        (source.stride // 4, octets),
        flops=4.0 * source.stride * source.num_columns,
    )
