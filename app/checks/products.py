"""Cases of the operations that read packed weights or adapters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.checks.bench import Array, Bench
from app.gpu.graph import BINDING_ALIGNMENT_BYTES, Tensor, persistent
from app.ops.adapter_bits import pack_factors
from app.ops.embedding import embedding
from app.ops.linear import linear, linear_backward
from app.ops.lora import lora_gradient, lora_hidden, lora_hidden_backward
from app.ops.low_rank import LowRank, PackedFactors
from app.ops.matrix import FORMAT_OF_TYPE, GROUP_SIZE, new_matrix, repack
from app.reference import embedding as embedding_twin
from app.reference import linear as twin
from app.reference.adapter_bits import quantize_adapter
from app.reference.gguf_blocks import dequantize_blocks, quantize_blocks, unpermute_rows
from app.reference.tolerances import BACKWARD, ELEMENTWISE, EXACT, MATMUL

SEGMENT_ELEMENTS = BINDING_ALIGNMENT_BYTES // 4

Words = npt.NDArray[np.uint32]


def repack_case(
    bench: Bench,
    *,
    gguf_type: str,
    parts: tuple[int, ...],
    columns: int,
    head_dim: int = 0,
    chunk_rows: int = 0,
    scale: float = 1.0,
) -> None:
    """Tensors of parts[i] rows stacked in one matrix, uploaded in chunks of rows."""
    matrix = new_matrix("weight", FORMAT_OF_TYPE[gguf_type], sum(parts), columns)
    packed = []
    offset = 0
    for num_rows in parts:
        values = bench.normal(num_rows, columns, scale=scale)
        step = chunk_rows or num_rows
        for first in range(0, num_rows, step):
            chunk = values[first : first + step]
            repack(
                bench.graph,
                bench.blocks(quantize_blocks(chunk, gguf_type)),
                matrix,
                gguf_type=gguf_type,
                num_rows=len(chunk),
                first_row=first,
                offset=offset,
                head_dim=head_dim,
            )
        ordered = unpermute_rows(values, num_rows // head_dim, head_dim) if head_dim else values
        packed.append(pack(quantize_blocks(ordered, gguf_type), gguf_type, num_rows, columns))
        offset += num_rows
    padding = matrix.stride - matrix.num_rows
    words, scales = (
        np.pad(np.concatenate(part, axis=1), ((0, 0), (0, padding)))
        for part in zip(*packed, strict=True)
    )
    bench.expect("words", matrix.words, words, tolerance=EXACT, starts_zeroed=True)
    if matrix.scales is not matrix.words:
        bench.expect("scales", matrix.scales, scales, tolerance=EXACT, starts_zeroed=True)


def pack(data: bytes, gguf_type: str, rows: int, columns: int) -> tuple[Words, Words]:
    """Bring GGUF blocks into the layout of wgsl/lib/weights_*.wgsl, in numpy.

    Returns:
        words, (words of a row, rows), and scales, (groups of a row, rows); no scales for the
        dense formats.
    """
    if gguf_type in ("F32", "F16"):
        words = np.frombuffer(data, np.uint32).reshape(rows, -1)
        return words.T, np.zeros((0, rows), np.uint32)
    if gguf_type == "BF16":
        with np.errstate(under="ignore"):
            halves = dequantize_blocks(data, gguf_type, (rows, columns)).astype(np.float16)
        return halves.view(np.uint32).T, np.zeros((0, rows), np.uint32)
    raw = np.frombuffer(data, np.uint8).reshape(rows, columns // GROUP_SIZE, -1)
    scale = np.ascontiguousarray(raw[..., :2]).view(np.uint16)[..., 0].astype(np.uint32)
    if gguf_type == "Q8_0":
        words = np.ascontiguousarray(raw[..., 2:]).view(np.uint32).reshape(rows, -1)
        return words.T, scale.T
    if gguf_type == "Q4_1":
        minimum = np.ascontiguousarray(raw[..., 2:4]).view(np.uint16)[..., 0].astype(np.uint32)
    else:
        halves = np.ascontiguousarray(raw[..., :2]).view(np.float16)[..., 0]
        minimum = (halves * np.float16(-8)).view(np.uint16).astype(np.uint32)
    nibbles = raw[..., -16:]
    q = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).reshape(rows, -1, 2, 4)
    words = np.ascontiguousarray(q[:, :, 0] | (q[:, :, 1] << 4)).view(np.uint32)[..., 0]
    scales: Words = scale | (minimum << np.uint32(16))
    return words.T, scales.T


def factors(bench: Bench, label: str, parts: Sequence[Array], bits: int) -> tuple[Tensor, Tensor]:
    """Return a matrix in f32 and packed; of the two only what the bits say holds values.

    Args:
        bench: Where to write the values.
        label: Name of the matrix.
        parts: A alone, or the Bᵀ of each module: (rows, columns) each.
        bits: 32, 2 or 1.
    """
    whole = np.concatenate(parts, axis=1)
    values = whole if label == "lora a" else np.ascontiguousarray(whole.T)
    if bits == 32:
        return bench.tensor(label, values), persistent("unused", (4,), "scratch", "u32")
    packed = bench.tensor(f"packed {label}", pack_factors(parts, bits))
    return persistent("unused", values.shape, "scratch"), packed


class Adapter:
    """Random adapters of stacked modules, and the product they belong to in numpy."""

    def __init__(
        self, bench: Bench, outs: tuple[int, ...], columns: int, rank: int, bits: int = 32
    ) -> None:
        self.scaling = 1.75
        self.a: list[Array] = [bench.normal(rank, columns, scale=columns**-0.5) for _ in outs]
        self.b: list[Array] = [bench.normal(out, rank, scale=0.5) for out in outs]
        self.bounds = [0, *(int(bound) for bound in np.cumsum(outs))]
        a, packed_a = factors(bench, "lora a", [np.concatenate(self.a)], bits)
        b, packed_b = factors(bench, "lora b", [part.T for part in self.b], bits)
        packed = PackedFactors(bits, packed_a, packed_b) if bits < 32 else None
        self.low_rank = LowRank(rank, tuple(self.bounds[1:-1]), a, b, packed)
        if bits < 32:
            pairs = [quantize_adapter(*pair, bits) for pair in zip(self.a, self.b, strict=True)]
            self.a, self.b = [a for a, _ in pairs], [b for _, b in pairs]

    def split(self, array: Array, axis: int = 1) -> list[Array]:
        """Cut stacked columns (or rows) at the modules' bounds."""
        return np.split(array, self.bounds[1:-1], axis=axis)

    def forward(self, x: Array, weight: Array) -> Array:
        """Return y of every module, side by side."""
        modules = zip(self.split(weight, 0), self.a, self.b, strict=True)
        return np.concatenate([twin.linear(x, w, a, b, self.scaling) for w, a, b in modules], 1)

    def backward(self, dy: Array, weight: Array) -> Array:
        """Return dx, summed over the modules."""
        modules = zip(self.split(dy), self.split(weight, 0), self.a, self.b, strict=True)
        return np.asarray(
            sum(twin.linear_backward(d, w, a, b, self.scaling) for d, w, a, b in modules)
        )

    def gradients(self, dy: Array, x: Array) -> tuple[Array, Array]:
        """Return the gradients of the stacked A and B."""
        modules = zip(self.split(dy), self.a, self.b, strict=True)
        found = [twin.lora_backward(d, x, a, b, self.scaling)[1:] for d, a, b in modules]
        return np.concatenate([da for da, _ in found]), np.concatenate([db for _, db in found])


def linear_case(
    bench: Bench,
    *,
    rows: int,
    columns: int,
    outs: tuple[int, ...],
    gguf_type: str,
    rank: int = 0,
    bits: int = 32,
    has_residual: bool = False,
) -> None:
    """The product with modules of outs[i] rows stacked in one matrix."""
    x = bench.normal(rows, columns)
    weight, values = bench.matrix(bench.normal(sum(outs), columns, scale=columns**-0.5), gguf_type)
    x_tensor = bench.tensor("x", x)
    low_rank = hidden = residual = None
    expected: Array = twin.linear(x, values)
    if rank:
        adapter = Adapter(bench, outs, columns, rank, bits)
        low_rank = adapter.low_rank
        hidden = lora_hidden(bench.graph, x_tensor, low_rank, scaling=adapter.scaling)
        expected = adapter.forward(x, values)
    expected = _pad_columns(expected, weight.stride)
    if has_residual:
        extra = bench.normal(*expected.shape)
        residual = bench.tensor("residual", extra)
        expected = expected + extra
    y = linear(bench.graph, x_tensor, weight, low_rank=low_rank, hidden=hidden, residual=residual)
    bench.expect("y", y, expected, tolerance=MATMUL)


def linear_backward_case(
    bench: Bench,
    *,
    rows: int,
    columns: int,
    outs: tuple[int, ...],
    gguf_type: str,
    rank: int = 0,
    bits: int = 32,
) -> None:
    """The gradient of x through modules of outs[i] rows stacked in one matrix."""
    out = sum(outs)
    dy = bench.normal(rows, out)
    weight, values = bench.matrix(bench.normal(out, columns, scale=out**-0.5), gguf_type)
    dy_tensor = bench.tensor("dy", _pad_columns(dy, weight.stride))
    low_rank = d_hidden = None
    expected: Array = twin.linear_backward(dy, values)
    if rank:
        adapter = Adapter(bench, outs, columns, rank, bits)
        low_rank = adapter.low_rank
        d_hidden = lora_hidden_backward(bench.graph, dy_tensor, low_rank, scaling=adapter.scaling)
        expected = adapter.backward(dy, values)
    dx = linear_backward(bench.graph, dy_tensor, weight, low_rank=low_rank, d_hidden=d_hidden)
    bench.expect("dx", dx, expected, tolerance=BACKWARD if rank else MATMUL)


def lora_case(
    bench: Bench, *, rows: int, columns: int, outs: tuple[int, ...], rank: int, bits: int = 32
) -> None:
    """Hidden activations, their gradient and the gradients of A and B of stacked modules."""
    x, dy = bench.normal(rows, columns), bench.normal(rows, sum(outs), scale=sum(outs) ** -0.5)
    adapter = Adapter(bench, outs, columns, rank, bits)
    x_tensor, dy_tensor = bench.tensor("x", x), bench.tensor("dy", dy)
    low_rank, scaling = adapter.low_rank, adapter.scaling
    h = lora_hidden(bench.graph, x_tensor, low_rank, scaling=scaling)
    g = lora_hidden_backward(bench.graph, dy_tensor, low_rank, scaling=scaling)
    bench.expect(
        "h",
        h,
        np.concatenate([scaling * twin.linear(x, a) for a in adapter.a], 1),
        tolerance=MATMUL,
    )
    parts = zip(adapter.split(dy), adapter.b, strict=True)
    bench.expect(
        "g",
        g,
        np.concatenate([scaling * twin.linear_backward(d, b) for d, b in parts], 1),
        tolerance=MATMUL,
    )
    # Both gradients lie in one buffer, as in training.
    start_a = bench.normal(len(outs) * rank, columns)
    start_b = bench.normal(sum(outs), rank)
    offset = -(-start_a.size // SEGMENT_ELEMENTS) * SEGMENT_ELEMENTS
    flat = np.zeros(offset + start_b.size, np.float32)
    flat[: start_a.size], flat[offset:] = start_a.reshape(-1), start_b.reshape(-1)
    storage = bench.tensor("gradients", flat).storage
    gradient_a = Tensor(start_a.shape, storage)
    gradient_b = Tensor(start_b.shape, storage, offset_bytes=4 * offset)
    gradient = LowRank(rank, low_rank.bounds, gradient_a, gradient_b)
    lora_gradient(bench.graph, x_tensor, g, dy_tensor, h, low_rank, gradient)
    da, db = adapter.gradients(dy, x)
    bench.expect("da", gradient_a, start_a + da, start_a + 2 * da, tolerance=BACKWARD)
    bench.expect("db", gradient_b, start_b + db, start_b + 2 * db, tolerance=BACKWARD)


def embedding_case(
    bench: Bench, *, rows: int, columns: int, vocab_size: int, gguf_type: str
) -> None:
    """Rows of a table, among them the first and the last."""
    table, values = bench.matrix(bench.normal(vocab_size, columns), gguf_type)
    ids = bench.rng.integers(0, vocab_size, rows).astype(np.uint32)
    ids[:2] = (0, vocab_size - 1)[:rows]
    y = embedding(bench.graph, bench.tensor("ids", ids), table)
    expected = embedding_twin.embedding(ids, values)
    bench.expect("y", y, expected, tolerance=ELEMENTWISE)


def _pad_columns(array: Array, columns: int) -> Array:
    return np.pad(array, ((0, 0), (0, columns - array.shape[1])))
