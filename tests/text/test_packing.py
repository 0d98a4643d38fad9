"""Documents to windows: nothing lost, nothing doubled, little room left over."""

from __future__ import annotations

import random

import numpy as np
import pytest

from app.config import PACKINGS, Packing
from app.errors import CorpusError
from app.text.documents import Documents
from app.text.packing import occupancy, pack
from app.text.windows import IGNORE_INDEX, pad_batch


def documents_of(lengths: list[int], learned: list[bool] | None = None) -> Documents:
    """Documents of rising token ids, so that every token tells where it came from."""
    bounds = np.cumsum([0, *lengths], dtype=np.int64)
    total = int(bounds[-1])
    return Documents(
        np.arange(1, total + 1, dtype=np.int32),
        np.array(learned if learned is not None else [True] * total, np.bool_),
        bounds,
        tuple(f"document {number}" for number in range(len(lengths))),
    )


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_document_is_in_one_window_whole_and_once(packing: Packing) -> None:
    source = random.Random(0)
    for _ in range(60):
        size = source.randint(2, 40)
        lengths = [source.randint(0, 100) for _ in range(source.randint(1, 40))]
        if max(lengths) < 2:
            continue
        documents = documents_of(lengths)
        windows = pack(documents, size, packing)
        pieces = [
            piece for index in range(windows.num_windows) for piece in windows.segments(index)
        ]
        expected = [
            (int(start) + at, min(size, length - at))
            for start, length in zip(documents.bounds, lengths, strict=False)
            for at in range(0, length, size)
            if length - at >= 2
        ]
        assert sorted(pieces) == expected
        assert windows.lengths.max() <= size
        most = {"none": 1, "dual": 2, "best-fit": size}[packing]
        assert np.diff(windows.bounds).max() <= most
        firsts = [windows.segments(index)[0][0] for index in range(windows.num_windows)]
        assert firsts == sorted(firsts)
        assert 0 < occupancy(windows) <= 1


def test_dual_pairs_the_longest_with_the_longest_that_fits() -> None:
    windows = pack(documents_of([9, 2, 6, 4, 3]), 10, "dual")
    lengths = [[length for _, length in windows.segments(i)] for i in range(windows.num_windows)]
    assert lengths == [[9], [2, 3], [6, 4]]


def test_best_fit_fills_windows_of_an_ordinary_corpus() -> None:
    random_lengths = np.random.default_rng(0).lognormal(4.0, 0.8, 2000).astype(int) + 2
    documents = documents_of(random_lengths.tolist())
    shares = {packing: occupancy(pack(documents, 256, packing)) for packing in PACKINGS}
    assert shares["none"] < shares["dual"] < shares["best-fit"]
    assert shares["best-fit"] >= 0.95


def test_packing_is_the_same_every_time() -> None:
    documents = documents_of([5] * 30 + [7] * 30)
    first, second = (pack(documents, 19, "best-fit") for _ in range(2))
    assert first.starts.tolist() == second.starts.tolist()


def test_a_batch_keeps_documents_apart() -> None:
    learned = [True] * 4 + [False, False, True]
    windows = pack(documents_of([4, 3], learned), 10, "best-fit")
    assert windows.num_windows == 1
    batch = pad_batch(windows, [0], 2, 9)
    skip = IGNORE_INDEX
    assert batch.tokens[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 0, 0]
    assert batch.targets[0].tolist() == [2, 3, 4, skip, skip, 7, skip, skip, skip]
    assert batch.positions[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert batch.starts[0].tolist() == [0, 0, 0, 0, 4, 4, 4, 4, 4]
    assert batch.positions[1].tolist() == list(range(9))
    assert windows.num_predicted == 4
    assert windows.predicted.tolist() == [4]


def test_what_predicts_nothing_is_left_out() -> None:
    documents = documents_of([3, 3], [False] * 3 + [True] * 3)
    windows = pack(documents, 8, "none")
    assert [windows.segments(index) for index in range(windows.num_windows)] == [[(3, 3)]]
    with pytest.raises(CorpusError, match="no document has 2 tokens"):
        pack(documents_of([1, 1]), 8, "best-fit")
    # The first token of a document has nothing before it to be predicted from.
    with pytest.raises(CorpusError, match="no document has 2 tokens"):
        pack(documents_of([2], [True, False]), 8, "none")
