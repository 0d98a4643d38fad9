"""Windows of tokens, batches of windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from app.errors import ConfigError, CorpusError
from app.messages import say, say_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    IntArray = npt.NDArray[np.int32]
    IndexArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]

MIN_TOKENS = 2
"""One token to read and one to predict."""

IGNORE_INDEX = -100
"""Target of a position that predicts nothing, the convention of PyTorch."""


def check_tokens(token_ids: Sequence[int] | IntArray, name: str = "the corpus") -> None:
    """Raise CorpusError unless there is something to predict."""
    if len(token_ids) < MIN_TOKENS:
        raise CorpusError(
            say_count(
                len(token_ids),
                "{name} has {count} token and training needs at least {least} tokens: add more "
                "text",
                "{name} has {count} tokens and training needs at least {least} tokens: add more "
                "text",
                name=name,
                least=MIN_TOKENS,
            )
        )


@dataclass(frozen=True)
class Windows:
    """What the model sees at once: segments of one token sequence, each on its own.

    A segment of n tokens predicts those of its tokens 1..n − 1 that are learnt.

    Attributes:
        token_ids: (num_tokens_in_corpus,) int32, shared by all subsets.
        is_learned: (num_tokens_in_corpus,) bool.
        starts: (num_segments,) int64: where each segment begins in `token_ids`.
        segment_lengths: (num_segments,) int64, in tokens.
        bounds: (num_windows + 1,) int64: window w holds segments bounds[w]..bounds[w + 1] − 1.
        max_seq_len: Room of a window, in tokens.
    """

    token_ids: IntArray
    is_learned: BoolArray
    starts: IndexArray
    segment_lengths: IndexArray
    bounds: IndexArray
    max_seq_len: int

    @classmethod
    def of_segments(
        cls,
        token_ids: IntArray,
        groups: Sequence[Sequence[tuple[int, int]]],
        max_seq_len: int,
        is_learned: BoolArray,
    ) -> Windows:
        """Return windows that hold the given (start, length) segments.

        Raises:
            CorpusError: there is no window.
        """
        if not groups:
            raise CorpusError(
                say(
                    "no document has {min_tokens} tokens of which one can be learnt: add more text",
                    min_tokens=MIN_TOKENS,
                )
            )
        segments = np.array([piece for group in groups for piece in group], np.int64)
        bounds = np.cumsum([0, *(len(group) for group in groups)], dtype=np.int64)
        return cls(token_ids, is_learned, segments[:, 0], segments[:, 1], bounds, max_seq_len)

    @property
    def num_windows(self) -> int:
        """Number of windows."""
        return len(self.bounds) - 1

    @property
    def is_packed(self) -> bool:
        """Whether a window holds more than one segment."""
        return len(self.starts) > self.num_windows

    @cached_property
    def lengths(self) -> IndexArray:
        """(num_windows,) int64: tokens of each window."""
        return self._summed(self.segment_lengths)

    @cached_property
    def predicted(self) -> IndexArray:
        """(num_windows,) int64: tokens of each window that are predicted."""
        learned = np.concatenate([[0], np.cumsum(self.is_learned)])
        of_segments = learned[self.starts + self.segment_lengths] - learned[self.starts + 1]
        return self._summed(of_segments)

    def _summed(self, of_segments: IndexArray) -> IndexArray:
        """Return the sum over each window's segments."""
        # Under Pyodide numpy's index type has 32 bits, and reduceat casts nothing itself.
        return np.add.reduceat(of_segments, self.bounds[:-1].astype(np.intp))

    @property
    def num_tokens(self) -> int:
        """Tokens in all windows."""
        return int(self.segment_lengths.sum())

    @property
    def num_predicted(self) -> int:
        """Tokens that are predicted in all windows."""
        return int(self.predicted.sum())

    def segments(self, index: int) -> list[tuple[int, int]]:
        """Return (start, length) of the segments of window `index`."""
        part = slice(self.bounds[index], self.bounds[index + 1])
        starts, lengths = self.starts[part].tolist(), self.segment_lengths[part].tolist()
        return list(zip(starts, lengths, strict=True))

    def inputs(self, index: int) -> IntArray:
        """Return (length,) int32: the tokens of window `index`, segment after segment."""
        segments = self.segments(index)
        return np.concatenate([self.token_ids[at : at + length] for at, length in segments])

    def subset(self, indices: Sequence[int] | IndexArray) -> Windows:
        """Return these windows, in this order, over the same tokens."""
        chosen = np.asarray(indices, dtype=np.int64)
        counts = np.diff(self.bounds)[chosen]
        ends = np.cumsum(counts)
        # Segment j of a window lies j behind its first, here and there; repeat casts nothing.
        shifts = np.repeat(self.bounds[chosen] - (ends - counts), counts.astype(np.intp))
        segments = np.arange(len(shifts), dtype=np.int64) + shifts
        return replace(
            self,
            starts=self.starts[segments],
            segment_lengths=self.segment_lengths[segments],
            bounds=np.concatenate([[0], ends]),
        )


def make_windows(token_ids: Sequence[int] | IntArray, max_seq_len: int) -> Windows:
    """Cut tokens into consecutive windows of `max_seq_len`; the last is kept if it has ≥ 2.

    Raises:
        CorpusError: fewer than 2 tokens.
        ConfigError: a window shorter than 2 tokens.
    """
    if max_seq_len < MIN_TOKENS:
        raise ConfigError(
            say(
                "{setting} is {given}: give at least {least} tokens",
                setting="max_seq_len",
                given=max_seq_len,
                least=MIN_TOKENS,
            )
        )
    check_tokens(token_ids)
    tokens = np.ascontiguousarray(token_ids, dtype=np.int32)
    starts = np.arange(0, len(tokens) - (MIN_TOKENS - 1), max_seq_len, dtype=np.int64)
    lengths = np.minimum(len(tokens) - starts, max_seq_len)
    is_learned = np.ones(len(tokens), np.bool_)
    bounds = np.arange(len(starts) + 1, dtype=np.int64)
    return Windows(tokens, is_learned, starts, lengths, bounds, max_seq_len)


def split_eval(windows: Windows, fraction: float) -> tuple[Windows, Windows | None]:
    """Set the last ⌊fraction · num_windows⌋ windows aside for evaluation.

    The end of the corpus and not a random draw: windows are visited in order, so a run makes
    the same first steps whatever is set aside. At least one window stays for training; where
    the corpus is too short for the fraction there is no evaluation side.
    """
    count = min(int(fraction * windows.num_windows), windows.num_windows - 1)
    if count < 1:
        return windows, None
    split = windows.num_windows - count
    return windows.subset(range(split)), windows.subset(range(split, windows.num_windows))


def spread_windows(windows: Windows, max_tokens: int | None) -> Windows:
    """Return evenly spread windows of at most `max_tokens` tokens, one at least; None: all.

    Always the same ones of the same windows. A window counts as long as the longest, which is
    what reading it costs.
    """
    total = windows.num_windows
    if max_tokens is None:
        return windows
    count = max(1, max_tokens // int(windows.lengths.max()))
    if count >= total:
        return windows
    # The middle of each of `count` equal stretches.
    return windows.subset((2 * np.arange(count, dtype=np.int64) + 1) * total // (2 * count))


def num_windows_read(windows: Windows | None, max_tokens: int | None) -> int:
    """Return how many windows `spread_windows` gives; 0 of none."""
    return 0 if windows is None else spread_windows(windows, max_tokens).num_windows


def batches(order: Sequence[int] | IndexArray, micro_batch: int) -> list[IndexArray]:
    """Cut an order of window indices into micro-batches; the last may be shorter."""
    if micro_batch < 1:
        raise ConfigError(
            say("micro_batch_size is {micro_batch}: give at least 1", micro_batch=micro_batch)
        )
    indices = np.asarray(order, dtype=np.int64)
    return [indices[at : at + micro_batch] for at in range(0, len(indices), micro_batch)]


@dataclass(frozen=True)
class Batch:
    """Windows side by side, padded to one length; all arrays (micro_batch, max_seq_len).

    Attributes:
        tokens: int32; 0 where there is none.
        targets: int32: the token to predict, or IGNORE_INDEX.
        positions: uint32: place in the segment.
        starts: uint32: column where the segment begins; a token sees none before it.
    """

    tokens: IntArray
    targets: IntArray
    positions: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.uint32]

    @classmethod
    def of_rows(cls, tokens: IntArray, targets: IntArray) -> Batch:
        """Return a batch of which every row is one segment."""
        starts = np.zeros(tokens.shape, np.uint32)
        return cls(tokens, targets, _columns(tokens.shape[1]) - starts, starts)


def pad_batch(
    windows: Windows, indices: Sequence[int] | IndexArray, micro_batch: int, max_seq_len: int
) -> Batch:
    """Lay windows out in rows.

    targets[b, t] = tokens[b, t + 1] where both are of one segment and the latter is learnt.
    Columns after a window's end go on as its last segment, and rows beyond `indices` are one
    segment; they predict nothing.

    Raises:
        ConfigError: the windows do not fit.
    """
    lengths = windows.lengths[np.asarray(indices, dtype=np.int64)]
    longest = int(lengths.max(initial=0))
    if len(indices) > micro_batch or longest > max_seq_len:
        raise ConfigError(
            say(
                "{num_indices} windows of up to {longest} tokens do not fit in a batch of "
                "{micro_batch} × {max_seq_len}",
                num_indices=len(indices),
                longest=longest,
                micro_batch=micro_batch,
                max_seq_len=max_seq_len,
            )
        )
    shape = (micro_batch, max_seq_len)
    tokens = np.zeros(shape, np.int32)
    targets = np.full(shape, IGNORE_INDEX, np.int32)
    starts = np.zeros(shape, np.uint32)
    for row, index in enumerate(indices):
        column = 0
        for at, length in windows.segments(int(index)):
            here = slice(column, column + length)
            tokens[row, here] = windows.token_ids[at : at + length]
            starts[row, column:] = column
            following = slice(at + 1, at + length)
            targets[row, column : column + length - 1] = np.where(
                windows.is_learned[following], windows.token_ids[following], IGNORE_INDEX
            )
            column += length
    return Batch(tokens, targets, _columns(max_seq_len) - starts, starts)


def _columns(count: int) -> npt.NDArray[np.uint32]:
    return np.arange(count, dtype=np.uint32)
