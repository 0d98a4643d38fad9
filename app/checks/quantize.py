"""Cases of quantizing float weights: codes and scales equal the twin's to the last bit."""

from __future__ import annotations

from app.checks.bench import Bench
from app.checks.quantized_words import map_alone, pack_quantized
from app.ops.matrix import Format, new_matrix
from app.ops.quantize import quantize
from app.reference.gguf_blocks import dequantize_blocks, permute_rows, quantize_blocks
from app.reference.tolerances import EXACT


def quantize_case(
    bench: Bench,
    *,
    format: Format,
    parts: tuple[int, ...],
    columns: int,
    type: str = "F32",
    head_dim: int = 0,
    chunk_rows: int = 0,
    scale: float = 1.0,
    is_symmetric: bool = False,
) -> None:
    """Tensors of parts[i] rows stacked in one matrix, quantized in chunks of rows."""
    matrix = new_matrix("weight", format, sum(parts), columns)
    quantized = []
    offset = 0
    for num_rows in parts:
        values = bench.normal(num_rows, columns, scale=scale)
        values[num_rows // 2, : columns // 2] = 0  # groups of zeros, or with many
        data = quantize_blocks(values, type)
        ordered = dequantize_blocks(data, type, values.shape)
        quantized.append(ordered)
        stored = ordered
        if head_dim:
            stored = permute_rows(ordered, num_rows // head_dim, head_dim)
        step = chunk_rows or num_rows
        for first in range(0, num_rows, step):
            chunk = stored[first : first + step]
            quantize(
                bench.graph,
                bench.blocks(quantize_blocks(chunk, type)),
                matrix,
                type=type,
                num_rows=len(chunk),
                first_row=first,
                offset=offset,
                head_dim=head_dim,
                is_symmetric=is_symmetric,
            )
        offset += num_rows
    words, scales = pack_quantized(matrix, quantized, is_symmetric=is_symmetric)
    bench.expect("words", matrix.words, words, tolerance=EXACT, starts_zeroed=True)
    if format == "nf4":
        bench.write(matrix.scales, map_alone(matrix))
    bench.expect("scales", matrix.scales, scales, tolerance=EXACT, starts_zeroed=True)
