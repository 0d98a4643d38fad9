"""The case of channels in 1, 2 or 4 bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.checks.bench import Bench, Float32Array
from app.ops.lowra import lowra, new_channels
from app.ops.matrix import Matrix, new_matrix
from app.reference.gguf_blocks import dequantize_blocks, permute_rows, quantize_blocks
from app.reference.lowra import BITS, channel_errors, quantize_lowra
from app.reference.tolerances import EXACT, MATMUL


def lowra_case(
    bench: Bench, *, rows: int, columns: int, type: str, is_measuring: bool, head_dim: int = 0
) -> None:
    """Channels of a tensor: what they lose in 1, 2 and 4 bits, or their codes in one of these."""
    matrix = new_matrix("weight", "int4", rows, columns)
    data = quantize_blocks(bench.normal(rows, columns, scale=0.05), type)
    values = dequantize_blocks(data, type, (rows, columns))
    if head_dim:
        data = quantize_blocks(permute_rows(values, rows // head_dim, head_dim), type)
    channels = new_channels(matrix)
    place = {"num_rows": rows, "first_row": 0, "offset": 0, "head_dim": head_dim}
    lowra(
        bench.graph,
        bench.blocks(data),
        matrix,
        channels,
        type=type,
        is_measuring=is_measuring,
        **place,
    )
    if is_measuring:
        bench.expect("errors", channels, channel_errors(values), tolerance=MATMUL)
        return
    bits = np.resize(np.array(BITS), rows)
    given = np.zeros(channels.shape, np.float32)
    given[:, 0] = bits
    bench.write(channels, given)
    _expect_codes(bench, matrix, values, bits)


def _expect_codes(
    bench: Bench, matrix: Matrix, values: Float32Array, bits: npt.NDArray[np.int64]
) -> None:
    found = quantize_lowra(values, bits)
    padding = ((0, 0), (0, matrix.stride - matrix.num_rows))
    q = found.codes.astype(np.uint8).reshape(len(values), -1, 2, 4)
    words = np.ascontiguousarray(q[:, :, 0] | (q[:, :, 1] << 4)).view(np.uint32)[..., 0].T
    low, high = (part.view(np.uint16).astype(np.uint32) for part in found[1:])
    scales = (low | (high << np.uint32(16))).T
    bench.expect("words", matrix.words, np.pad(words, padding), tolerance=EXACT, starts_zeroed=True)
    padded = np.pad(scales, padding)
    bench.expect("scales", matrix.scales, padded, tolerance=EXACT, starts_zeroed=True)
