"""Where an adapter in one or two bits keeps its codes and scales.

Each layer's stacked projections have one segment for A and one for B, as in the flat array of
values, starting at multiples of 256 bytes. A scale belongs to one rank of one module: to a row
of A and to a column of B. docs/decisions/0011-low-bit-adapters.md says why.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from app.config import ModelConfig
from app.gpu.graph import Tensor
from app.nn.weights import PROJECTION_GROUPS, group_bounds, group_shape
from app.ops.adapter_bits import (
    PackedRow,
    PackedRows,
    pack_factors,
    packed_words,
    unpack_factors,
    words_of_row,
)
from app.ops.low_rank import NO_BOUND, PackedFactors

SEGMENT_WORDS = 64


class PackedLayout:
    """The packed form of a flat array of values.

    Attributes:
        size: Words, u32.
    """

    def __init__(
        self,
        model: ModelConfig,
        rank: int,
        bits: int,
        offsets: dict[tuple[int, str], tuple[int, int]],
    ) -> None:
        """Lay out the groups that lie at `offsets` (of A, of B) in the flat array of values."""
        self._model, self._rank, self._bits = model, rank, bits
        self._offsets = offsets
        self._words: dict[tuple[int, str], tuple[int, int]] = {}
        word = 0
        for layer, group in offsets:
            a_size, b_size = self._sizes(group)
            self._words[layer, group] = (word, word + _aligned(a_size))
            word += _aligned(a_size) + _aligned(b_size)
        self.size = word

    def factors(self, packed: Tensor, layer: int, group: str) -> PackedFactors:
        """Return views of one group's A and B."""
        (a_word, b_word), (a_size, b_size) = self._words[layer, group], self._sizes(group)
        return PackedFactors(
            self._bits,
            Tensor((a_size,), packed.storage, "u32", 4 * a_word),
            Tensor((b_size,), packed.storage, "u32", 4 * b_word),
        )

    def rows(self) -> PackedRows:
        """Return all packed rows, for the kernels that write them."""
        rows: list[PackedRow] = []
        for (layer, group), (a_word, b_word) in self._words.items():
            a_start, b_start = self._offsets[layer, group]
            ranks, out_features, in_features = self._shape(group)
            width = words_of_row(in_features, self._bits)
            scales = a_word + ranks * width
            rows += [
                PackedRow(
                    start=a_start + r * in_features,
                    stride=1,
                    columns=in_features,
                    first_bound=NO_BOUND,
                    second_bound=NO_BOUND,
                    word=a_word + r * width,
                    scale=scales + r,
                    scale_stride=0,
                )
                for r in range(ranks)
            ]
            bounds = (*group_bounds(self._model, group), NO_BOUND, NO_BOUND)
            width = words_of_row(out_features, self._bits)
            scales = b_word + self._rank * width
            rows += [
                PackedRow(
                    start=b_start + r,
                    stride=self._rank,
                    columns=out_features,
                    first_bound=bounds[0],
                    second_bound=bounds[1],
                    word=b_word + r * width,
                    scale=scales + r,
                    scale_stride=self._rank,
                )
                for r in range(self._rank)
            ]
        return PackedRows.create(rows, self._bits)

    def pack(self, values: NDArray[np.float32]) -> NDArray[np.uint32]:
        """Return the words of flat values, (size,), computed on the host."""
        words = np.zeros(self.size, np.uint32)
        for key, (a_word, b_word) in self._words.items():
            a, b = self._matrices(values, key)
            packed_a = pack_factors([a], self._bits)
            packed_b = pack_factors(
                [part.T for part in np.split(b, group_bounds(self._model, key[1]))], self._bits
            )
            words[a_word : a_word + packed_a.size] = packed_a
            words[b_word : b_word + packed_b.size] = packed_b
        return words

    def unpack(self, words: NDArray[np.uint32], size: int) -> NDArray[np.float32]:
        """Return what words stand for, as a flat array of `size` values."""
        values = np.zeros(size, np.float32)
        for key, (a_word, b_word) in self._words.items():
            ranks, out_features, in_features = self._shape(key[1])
            a, b = self._matrices(values, key)
            (a[:],) = unpack_factors(words[a_word:], ranks, [in_features], self._bits)
            edges = (0, *group_bounds(self._model, key[1]), out_features)
            outs = [stop - start for start, stop in itertools.pairwise(edges)]
            parts = unpack_factors(words[b_word:], self._rank, outs, self._bits)
            b[:] = np.concatenate(parts, axis=1).T
        return values

    def _matrices(
        self, values: NDArray[np.float32], key: tuple[int, str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return views of a group's stacked A and B in flat values."""
        (a_start, b_start), (ranks, out_features, in_features) = (
            self._offsets[key],
            self._shape(key[1]),
        )
        a = values[a_start : a_start + ranks * in_features]
        b = values[b_start : b_start + out_features * self._rank]
        return a.reshape(ranks, in_features), b.reshape(out_features, self._rank)

    def _shape(self, group: str) -> tuple[int, int, int]:
        """Return ranks of all modules, out_features and in_features of a group."""
        return len(PROJECTION_GROUPS[group]) * self._rank, *group_shape(self._model, group)

    def _sizes(self, group: str) -> tuple[int, int]:
        """Return the words of a group's A and B."""
        ranks, out_features, in_features = self._shape(group)
        return (
            packed_words(ranks, in_features, ranks, self._bits),
            packed_words(self._rank, out_features, ranks, self._bits),
        )


def _aligned(words: int) -> int:
    return -(-words // SEGMENT_WORDS) * SEGMENT_WORDS
