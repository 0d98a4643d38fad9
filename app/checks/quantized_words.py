"""Quantized weights in the packed layouts of wgsl/lib/weights_*.wgsl, made in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.ops.matrix import MAP_WORDS, NF4_TILE, Matrix, nf4_scale_words
from app.ops.quantize import nf4_map
from app.reference import quantize as twin

Float32Array = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]


def pack_quantized(
    matrix: Matrix, parts: list[Float32Array], *, is_symmetric: bool = False
) -> tuple[Words, Words]:
    """Return words and scales of the layouts in wgsl/lib/weights_*.wgsl, from the twin."""
    if matrix.format == "nf4":
        return _pack_nf4(matrix, parts)
    words, scales = [], []
    for values in parts:
        if matrix.format == "int8":
            found = twin.quantize_int8(values)
            codes = found.codes.astype(np.int8)
            words.append(codes.view(np.uint32).T)
        else:
            found = twin.quantize_int4(values, is_symmetric=is_symmetric)
            words.append(_nibbles(found.codes.astype(np.uint8)))
        low, high = (part.view(np.uint16).astype(np.uint32) for part in found[1:])
        scales.append((low | (high << np.uint32(16))).T)
    padding = ((0, 0), (0, matrix.stride - matrix.num_rows))
    return (
        np.pad(np.concatenate(words, axis=1), padding),
        np.pad(np.concatenate(scales, axis=1), padding),
    )


def _pack_nf4(matrix: Matrix, parts: list[Float32Array]) -> tuple[Words, Words]:
    found = [twin.quantize_nf4(values, nf4_map()) for values in parts]
    rows = sum(len(values) for values in parts)
    codes = np.concatenate([part.codes for part in found])
    filled = np.full((matrix.stride, matrix.num_columns), twin.NF4_ZERO, np.uint8)
    filled[:rows] = codes
    scale_codes = np.concatenate([part.scale_codes for part in found])
    blocks = scale_codes.shape[1]
    padded = np.zeros((matrix.stride, blocks), np.uint8)
    padded[:rows] = scale_codes
    # A row that only pads has no scale: its codes are those of a distance of zero.
    for row in range(rows, matrix.stride):
        padded[row] = _code_of_nothing(found[-1].size[-1], blocks)
    by_quad = np.ascontiguousarray(padded.T).view(np.uint32)
    offset, size = (
        np.concatenate([getattr(part, name) for part in found]) for name in ("offset", "size")
    )
    sections = []
    for section in range(offset.shape[1]):
        pairs = np.stack([offset[:, section], size[:, section]], axis=1)
        sections.append(pairs.reshape(-1).view(np.uint32))
        part = np.s_[NF4_TILE * section : NF4_TILE * (section + 1)]
        sections.append(by_quad[part].reshape(-1))
    scales = map_alone(matrix)
    body = np.concatenate(sections)
    scales[MAP_WORDS : MAP_WORDS + len(body)] = body
    return _nibbles(filled), scales


def map_alone(matrix: Matrix) -> Words:
    """Return the scales of an NF4 matrix before it is quantized: the map, then zeros."""
    scales = np.zeros(nf4_scale_words(matrix.stride, matrix.num_columns), np.uint32)
    scales[:MAP_WORDS] = nf4_map().view(np.uint32)
    return scales


def _code_of_nothing(sizes: Float32Array, blocks: int) -> npt.NDArray[np.uint8]:
    middles = np.float32(0.5) * (nf4_map()[:-1] + nf4_map()[1:])
    codes = [np.searchsorted(middles * size, 0.0) for size in sizes]
    return np.repeat(np.array(codes, np.uint8), NF4_TILE)[:blocks]


def _nibbles(codes: npt.NDArray[np.uint8]) -> Words:
    """Return (columns / 8, rows) words: byte i has element i low and element 4 + i high."""
    q = codes.reshape(len(codes), -1, 2, 4)
    words: Words = np.ascontiguousarray(q[:, :, 0] | (q[:, :, 1] << 4)).view(np.uint32)[..., 0]
    return words.T
