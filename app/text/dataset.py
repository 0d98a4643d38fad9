"""From the files of a corpus to the windows that are trained on and those that are kept aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import Problems
from app.text.documents import Documents, encode_documents
from app.text.encode import encode_corpus
from app.text.packing import occupancy, pack
from app.text.records import read_records
from app.text.tokenizer import StreamDecoder
from app.text.windows import Windows, make_windows, split_eval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.config import Packing
    from app.text.records import Record
    from app.text.tokenizer import Tokenizer

    Progress = Callable[[int, int], None]

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
"""Files whose records are given; all others are running text."""


@dataclass(frozen=True)
class CorpusFile:
    """A decoded file of a corpus."""

    name: str
    text: str

    @property
    def is_table(self) -> bool:
        """Whether it holds records and not running text."""
        return self.name.lower().endswith(TABLE_SUFFIXES)


@dataclass(frozen=True)
class Dataset:
    """Windows of a run.

    Attributes:
        train: What is trained on.
        evaluation: What is kept aside; None where the corpus is too small for it.
        num_documents: Documents in both; running text that is not packed is one.
        num_cut: Documents longer than a window, which were cut into pieces.
        num_dropped: Tokens in no window: ends too short to predict anything.
    """

    train: Windows
    evaluation: Windows | None
    num_documents: int
    num_cut: int
    num_dropped: int

    @property
    def occupancy(self) -> float:
        """Share of the training windows' room that holds tokens; the rest is padding."""
        return occupancy(self.train)

    @property
    def num_padding(self) -> int:
        """Places of the training windows that hold no token."""
        return self.train.num_windows * self.train.max_seq_len - self.train.num_tokens


def goes_by_documents(files: Sequence[CorpusFile], packing: Packing) -> bool:
    """Whether documents are told apart; running text that is not packed is one sequence."""
    return packing != "none" or any(file.is_table for file in files)


def read_all_records(files: Sequence[CorpusFile]) -> list[Record]:
    """Return the records of all files.

    Raises:
        CorpusError: the mistakes of every file.
    """
    records: list[Record] = []
    problems = Problems()
    for file in files:
        with problems.gathered():
            records += read_records(file.name, file.text)
    problems.raise_if_any()
    return records


async def encode_files(
    files: Sequence[CorpusFile],
    tokenizer: Tokenizer,
    *,
    chat_template: str | None = None,
    by_documents: bool,
    on_progress: Progress | None = None,
) -> Documents:
    """Tokenize files; cancel the task to stop.

    Args:
        files: In order.
        tokenizer: The model's.
        chat_template: The model's, for conversations.
        by_documents: See `goes_by_documents`; else all text is one document.
        on_progress: Called with the characters, or records, done and their number.

    Raises:
        CorpusError: the files' mistakes, or too little to learn.
        FormatError: the chat template refuses a conversation.
    """
    if by_documents:
        records = read_all_records(files)
        return await encode_documents(records, tokenizer, chat_template, on_progress)
    text = "\n\n".join(file.text for file in files)
    token_ids = await encode_corpus(tokenizer, text, on_progress)
    bounds = np.array([0, len(token_ids)], np.int64)
    return Documents(token_ids, np.ones(len(token_ids), np.bool_), bounds, (files[0].name,))


def make_dataset(
    documents: Documents,
    *,
    by_documents: bool,
    max_seq_len: int,
    packing: Packing = "none",
    eval_fraction: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """Cut tokens into windows.

    Running text is cut into consecutive windows, and its end kept for evaluation. Otherwise a
    seeded draw of the documents is kept, and both sides are packed for themselves.

    Args:
        documents: From `encode_files`.
        by_documents: As it was there.
        max_seq_len: Room of a window, in tokens.
        packing: Which documents share a window.
        eval_fraction: Share kept aside: of the windows, or of the documents.
        seed: Of the draw.

    Raises:
        CorpusError: too little to learn.
        ConfigError: a window shorter than two tokens.
    """
    if not by_documents:
        train, evaluation = split_eval(
            make_windows(documents.token_ids, max_seq_len), eval_fraction
        )
        num_cut = 0
    else:
        chosen, kept = split_documents(documents.num_documents, eval_fraction, seed)
        train = pack(documents.subset(chosen), max_seq_len, packing)
        evaluation = pack(documents.subset(kept), max_seq_len, packing) if kept else None
        num_cut = int((np.diff(documents.bounds) > max_seq_len).sum())
    in_windows = train.num_tokens + (evaluation.num_tokens if evaluation else 0)
    num_dropped = documents.num_tokens - in_windows
    return Dataset(train, evaluation, documents.num_documents, num_cut, num_dropped)


def split_documents(count: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return which documents are trained on and which ⌊fraction · count⌋ are kept, in order."""
    num_kept = max(0, min(int(fraction * count), count - 1))
    kept = np.sort(np.random.default_rng(seed).permutation(count)[:num_kept])
    return np.setdiff1d(np.arange(count), kept).tolist(), kept.tolist()


@dataclass(frozen=True)
class PreviewToken:
    """A token of a window as a person sees it.

    Attributes:
        is_learned: Whether it counts to the loss.
        is_first: Whether a document begins with it.
    """

    text: str
    is_learned: bool
    is_first: bool


def preview(windows: Windows, tokenizer: Tokenizer, count: int = 3) -> list[list[PreviewToken]]:
    """Return the tokens of the first windows; a token that ends inside a character is empty."""
    shown = []
    for index in range(min(count, windows.num_windows)):
        tokens = []
        for start, length in windows.segments(index):
            decoder = StreamDecoder(tokenizer)
            for at in range(start, start + length):
                text = decoder.push(int(windows.token_ids[at]))
                learned = at > start and bool(windows.is_learned[at])
                tokens.append(PreviewToken(text, learned, at == start))
        shown.append(tokens)
    return shown
