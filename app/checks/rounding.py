"""Cases of weights that are rounded stochastically, equal to their twins to the last bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.checks.bench import Array, Bench
from app.ops.apply import apply_to_matrix
from app.ops.convert import convert
from app.ops.matrix import FORMAT_OF_TYPE, Matrix, new_matrix
from app.reference import stochastic as twin
from app.reference.gguf_blocks import dequantize_blocks, quantize_blocks
from app.reference.tolerances import EXACT

KEY = 0xDEADBEEF
SKIPPED = 1
"""Update that is not applied."""


def convert_case(bench: Bench, *, rows: int, columns: int, gguf_type: str) -> None:
    """A packed matrix becomes an f32 and an f16 one."""
    source, values = bench.matrix(bench.normal(rows, columns, scale=0.1), gguf_type)
    padded = np.pad(values, ((0, source.stride - rows), (0, 0)))
    dense, half = (new_matrix(format, format, rows, columns) for format in ("f32", "f16"))
    convert(bench.graph, source, dense)
    convert(bench.graph, source, half)
    bench.expect("f32", dense.words, padded.T.view(np.uint32), tolerance=EXACT)
    with np.errstate(under="ignore"):
        halves = padded.astype(np.float16)
    bench.expect("f16", half.words, pack_f16(halves), tolerance=EXACT)


def pack_f16(values: npt.NDArray[np.float16]) -> npt.NDArray[np.uint32]:
    """Return (rows, columns) as the words of an f16 matrix, (columns / 2, rows)."""
    return np.ascontiguousarray(values).view(np.uint32).T


def pack_int4(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Return (rows, columns) codes as the words of an INT4 matrix, (columns / 8, rows)."""
    octets = codes.reshape(len(codes), -1, 8)
    shifts = np.array([8 * (i % 4) + 4 * (i // 4) for i in range(8)], np.uint32)
    words: npt.NDArray[np.uint32] = np.bitwise_or.reduce(octets << shifts, axis=-1).T
    return words


def elements_of(rows: int, columns: int, stride: int) -> npt.NDArray[np.uint32]:
    """Return the index of each weight's gradient, (rows, columns)."""
    places = np.arange(columns)[None] * stride + np.arange(rows)[:, None]
    return places.astype(np.uint32)


def f16_update_case(bench: Bench, *, rows: int, columns: int, scale: float = 0.1) -> None:
    """Three updates of an f16 matrix, one skipped; some weights are below f16's normal range."""
    drawn = bench.normal(rows, columns, scale=scale)
    drawn[:, ::5] *= np.float32(1e-4)
    with np.errstate(under="ignore"):
        values = drawn.astype(np.float16)
    matrix = _matrix(bench, values, "F16")
    padded = np.pad(values, ((0, matrix.stride - rows), (0, 0)))
    elements = elements_of(matrix.stride, columns, matrix.stride)
    after: list[Array] = []
    for step, delta in _updates(bench, matrix, rows, scale * 1e-3):
        if step is not None:
            exact = padded.astype(np.float32) - delta.T
            padded = twin.round_f16(exact, twin.random_bits(KEY, step, elements))
        after.append(pack_f16(padded))
    bench.expect("words", matrix.words, *after, tolerance=EXACT, starts_zeroed=True)


def int4_update_case(
    bench: Bench, *, rows: int, columns: int, scale: float = 0.1, share: float = 0.02
) -> None:
    """Three updates of an INT4 matrix, one skipped; a group in seven is not updated at all.

    Weights are normal with deviation `scale`, updates with `share` of it: of a small one most
    groups keep their grid, of a large one all get another.
    """
    drawn = bench.normal(rows, columns, scale=scale)
    matrix = _matrix(bench, drawn, "Q4_1")
    blocks = dequantize_blocks(quantize_blocks(drawn, "Q4_1"), "Q4_1", drawn.shape)
    groups = np.pad(blocks, ((0, matrix.stride - rows), (0, 0))).reshape(matrix.stride, -1, 32)
    elements = elements_of(matrix.stride, columns, matrix.stride).reshape(groups.shape)
    raw = np.frombuffer(quantize_blocks(drawn, "Q4_1"), np.uint8).reshape(rows, -1, 20)
    pairs = np.ascontiguousarray(raw[..., :4]).view(np.uint32)[..., 0]
    pairs = np.pad(pairs, ((0, matrix.stride - rows), (0, 0)))
    halves = pairs.view(np.float16).reshape(*pairs.shape, 2)
    held = twin.Int4Groups(_codes(raw, matrix.stride), halves[..., 0], halves[..., 1])
    after: list[tuple[Array, Array]] = []
    for step, delta in _updates(bench, matrix, rows, scale * share):
        if step is not None:
            exact = groups - delta.T.reshape(groups.shape)
            held = twin.update_int4(held, exact, twin.random_bits(KEY, step, elements))
            wide, low = (part.astype(np.float32)[..., None] for part in held[1:])
            groups = held.codes.astype(np.float32) * wide + low
        pairs = np.stack(held[1:], axis=-1).view(np.uint32)[..., 0]
        after.append((pack_int4(held.codes.reshape(matrix.stride, -1)), pairs.T))
    for tensor, values in zip(matrix.bindings, zip(*after, strict=True), strict=True):
        label = tensor.storage.label
        bench.expect(label, tensor, *values, tolerance=EXACT, starts_zeroed=True)


def _codes(raw: npt.NDArray[np.uint8], stride: int) -> npt.NDArray[np.uint32]:
    """Return the codes of Q4_1 blocks, (stride, groups, 32): low nibbles, then high ones."""
    nibbles = raw[..., 4:]
    codes = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.uint32)
    return np.pad(codes, ((0, stride - len(codes)), (0, 0), (0, 0)))


def _matrix(bench: Bench, values: Array, gguf_type: str) -> Matrix:
    matrix, _ = bench.matrix(values.astype(np.float32), gguf_type)
    assert matrix.format == FORMAT_OF_TYPE[gguf_type]
    return matrix


def _updates(
    bench: Bench, matrix: Matrix, rows: int, scale: float
) -> list[tuple[int | None, npt.NDArray[np.float32]]]:
    """Record the update; return (t or None where skipped, delta) of each launch."""
    bench.launches = 3
    delta = bench.tensor("delta", np.zeros((matrix.num_columns, matrix.stride), np.float32))
    update = bench.tensor("update", np.zeros(8, np.float32))
    made: list[tuple[int | None, npt.NDArray[np.float32]]] = []
    for launch in range(bench.launches):
        drawn = np.zeros(delta.shape, np.float32)
        drawn[:, :rows] = bench.normal(matrix.num_columns, rows, scale=scale)
        drawn[:, ::7] = 0
        is_applied, step = launch != SKIPPED, 1 + launch - (launch > SKIPPED)
        bench.write(update, np.array([is_applied, 1, 1, 0, 1, 1, step, 0], np.float32), launch)
        bench.write(delta, drawn, launch)
        made.append((step if is_applied else None, drawn))
    apply_to_matrix(bench.graph, update, matrix, delta, key=KEY)
    bench.expect("delta", delta, np.zeros(delta.shape), tolerance=EXACT)
    return made
