"""Training text: from the bytes of a file to windows of tokens and padded batches.

Nothing is normalised: line ends, spaces and case reach the model as they stand in the file;
only a byte order mark at the very start is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import ConfigError, CorpusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    IntArray = npt.NDArray[np.int32]
    IndexArray = npt.NDArray[np.int64]

MAX_CORPUS_BYTES = 50_000_000
"""A corpus must be smaller: above, tokenizing alone takes half a minute in a browser."""

MIN_TOKENS = 2
"""One token to read and one to predict."""

IGNORE_INDEX = -100
"""Target of a position that predicts nothing, the convention of PyTorch."""

_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_KNOWN_FILES = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GGUF", "a GGUF model"),
)
_SNIFFED_BYTES = 4096


def check_corpus_size(size_bytes: int, name: str, limit_bytes: int = MAX_CORPUS_BYTES) -> None:
    """Raise CorpusError if a text of `size_bytes` is too large; call it before reading a file."""
    if size_bytes >= limit_bytes:
        raise CorpusError(
            f"{name} has {_megabytes(size_bytes)} and a corpus must be smaller than "
            f"{_megabytes(limit_bytes)}: cut it into parts and train on one of them"
        )


def check_corpus_text(text: str, name: str, limit_bytes: int = MAX_CORPUS_BYTES) -> str:
    """Return `text` (pasted or decoded); CorpusError if it is too large or has no words."""
    if 4 * len(text) >= limit_bytes:
        check_corpus_size(len(text.encode(errors="replace")), name, limit_bytes)
    if not text:
        raise CorpusError(f"{name} is empty: paste or choose some text to train on")
    if text.isspace():
        raise CorpusError(
            f"{name} has {len(text)} characters, all of them spaces or line ends: "
            "paste or choose some text to train on"
        )
    return text


def decode_corpus(data: bytes, name: str, limit_bytes: int = MAX_CORPUS_BYTES) -> str:
    """Decode the bytes of a text file: UTF-8, with or without a byte order mark.

    Raises:
        CorpusError: too large, empty, UTF-16 or UTF-32, binary, or not UTF-8; says which.
    """
    check_corpus_size(len(data), name, limit_bytes)
    encoding = _wide_encoding(data)
    if encoding is not None:
        raise CorpusError(
            f"{name} is encoded as {encoding} and UTF-8 is needed: save it again as UTF-8"
        )
    for magic, kind in _KNOWN_FILES:
        if data.startswith(magic):
            raise CorpusError(
                f"{name} is {kind}, not plain text: copy the text out of it or save it as .txt"
            )
    nul = data.find(b"\0")
    if nul >= 0:
        raise CorpusError(
            f"{name} is a binary file (byte {nul} is zero), not plain text: "
            "choose a .txt file saved as UTF-8"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{name} is not UTF-8: byte {error.start} (line {line}) is "
            f"0x{data[error.start]:02x}, which does not fit there. Save it again as UTF-8"
        ) from error
    return check_corpus_text(text, name, limit_bytes)


def check_tokens(token_ids: Sequence[int] | IntArray, name: str = "the corpus") -> None:
    """Raise CorpusError unless there is something to predict."""
    if len(token_ids) < MIN_TOKENS:
        raise CorpusError(
            f"{name} has {len(token_ids)} token{'s' * (len(token_ids) != 1)} and training needs "
            f"at least {MIN_TOKENS} tokens: add more text"
        )


@dataclass(frozen=True)
class Windows:
    """Stretches of one token sequence; a window of n tokens predicts n - 1.

    token_ids: (num_tokens_in_corpus,) int32, shared by all subsets.
    starts, lengths: (num_windows,) int64, in tokens.
    """

    token_ids: IntArray
    starts: IndexArray
    lengths: IndexArray
    max_seq_len: int

    @property
    def num_windows(self) -> int:
        """Number of windows."""
        return len(self.starts)

    @property
    def num_tokens(self) -> int:
        """Tokens in all windows."""
        return int(self.lengths.sum())

    @property
    def num_predicted(self) -> int:
        """Tokens that are predicted: all but the first of each window."""
        return self.num_tokens - self.num_windows

    def inputs(self, index: int) -> IntArray:
        """Return a view (length,) int32 of the tokens of window `index`."""
        start = self.starts[index]
        return self.token_ids[start : start + self.lengths[index]]

    def subset(self, indices: Sequence[int] | IndexArray) -> Windows:
        """Return these windows, in this order, over the same tokens."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Windows(self.token_ids, self.starts[chosen], self.lengths[chosen], self.max_seq_len)


def make_windows(token_ids: Sequence[int] | IntArray, max_seq_len: int) -> Windows:
    """Cut tokens into consecutive windows of `max_seq_len`; the last is kept if it has ≥ 2.

    Raises:
        CorpusError: fewer than 2 tokens.
        ConfigError: a window shorter than 2 tokens.
    """
    if max_seq_len < MIN_TOKENS:
        raise ConfigError(f"max_seq_len is {max_seq_len}: give at least {MIN_TOKENS} tokens")
    check_tokens(token_ids)
    tokens = np.ascontiguousarray(token_ids, dtype=np.int32)
    starts = np.arange(0, len(tokens) - (MIN_TOKENS - 1), max_seq_len, dtype=np.int64)
    lengths = np.minimum(len(tokens) - starts, max_seq_len)
    return Windows(tokens, starts, lengths, max_seq_len)


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


def batches(order: Sequence[int] | IndexArray, micro_batch: int) -> list[IndexArray]:
    """Cut an order of window indices into micro-batches; the last may be shorter."""
    if micro_batch < 1:
        raise ConfigError(f"micro_batch_size is {micro_batch}: give at least 1")
    indices = np.asarray(order, dtype=np.int64)
    return [indices[at : at + micro_batch] for at in range(0, len(indices), micro_batch)]


def pad_batch(
    windows: Windows, indices: Sequence[int] | IndexArray, micro_batch: int, max_seq_len: int
) -> tuple[IntArray, IntArray]:
    """Return tokens and targets, each (micro_batch, max_seq_len) int32.

    targets[b, t] = tokens[b, t + 1], and IGNORE_INDEX at the last token of a window, after it
    and in the rows beyond `indices`; unused tokens are 0. The number of targets that are not
    IGNORE_INDEX is the sum of the lengths less one each.
    """
    longest = int(windows.lengths[indices].max(initial=0))
    if len(indices) > micro_batch or longest > max_seq_len:
        raise ConfigError(
            f"{len(indices)} windows of up to {longest} tokens do not fit in a batch "
            f"of {micro_batch} × {max_seq_len}"
        )
    tokens = np.zeros((micro_batch, max_seq_len), dtype=np.int32)
    targets = np.full((micro_batch, max_seq_len), IGNORE_INDEX, dtype=np.int32)
    for row, index in enumerate(indices):
        inputs = windows.inputs(int(index))
        tokens[row, : len(inputs)] = inputs
        targets[row, : len(inputs) - 1] = inputs[1:]
    return tokens, targets


def _wide_encoding(data: bytes) -> str | None:
    """Name UTF-16 or UTF-32, by its mark or by zeros in every other byte; None otherwise."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    head = data[: _SNIFFED_BYTES & ~1]
    half = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if half >= 4 and max(even, odd) > 0.4 * half and min(even, odd) < 0.05 * half:
        return "UTF-16"
    return None


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes} bytes"
