"""Tokens to windows, windows to batches."""

from __future__ import annotations

import random

import numpy as np
import pytest

from app.errors import ConfigError, CorpusError
from app.text.windows import (
    IGNORE_INDEX,
    batches,
    check_tokens,
    make_windows,
    num_windows_read,
    pad_batch,
    split_eval,
    spread_windows,
)


@pytest.mark.parametrize(("ids", "found"), [([], "0 tokens"), ([5], "1 token and")])
def test_too_few_tokens(ids: list[int], found: str) -> None:
    with pytest.raises(CorpusError, match=f"notes.txt has {found}.*needs at least 2 tokens"):
        check_tokens(ids, "notes.txt")
    with pytest.raises(CorpusError, match="at least 2 tokens"):
        make_windows(ids, 16)
    check_tokens([1, 2])


def test_windows_follow_each_other_and_lose_at_most_one_token() -> None:
    for num_tokens in range(2, 60):
        ids = np.arange(100, 100 + num_tokens, dtype=np.int32)
        for size in range(2, 20):
            windows = make_windows(ids, size)
            pieces = [windows.inputs(i) for i in range(windows.num_windows)]
            lengths = [len(piece) for piece in pieces]
            kept = num_tokens - (num_tokens % size == 1)
            assert np.concatenate(pieces).tolist() == ids[:kept].tolist()
            assert lengths == windows.lengths.tolist()
            assert set(lengths[:-1]) <= {size}
            assert 2 <= lengths[-1] <= size
            assert windows.num_tokens == kept
            assert windows.num_predicted == sum(length - 1 for length in lengths)
            assert windows.token_ids.dtype == np.int32


@pytest.mark.parametrize("size", [1, 0, -3])
def test_a_window_has_at_least_two_tokens(size: int) -> None:
    with pytest.raises(ConfigError, match=f"max_seq_len is {size}"):
        make_windows([1, 2, 3], size)


@pytest.mark.parametrize("num_windows", [1, 2, 9, 10, 37, 200])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.1, 0.5, 0.99])
def test_split_takes_the_end_of_the_corpus(num_windows: int, fraction: float) -> None:
    windows = make_windows(list(range(4 * num_windows)), 4)
    train, evaluation = split_eval(windows, fraction)
    count = evaluation.num_windows if evaluation else 0
    assert count == min(int(fraction * num_windows), num_windows - 1)
    assert train.num_windows == num_windows - count >= 1
    held_out = evaluation.starts.tolist() if evaluation else []
    assert train.starts.tolist() + held_out == windows.starts.tolist()


def test_batches_keep_the_order() -> None:
    assert [part.tolist() for part in batches([4, 2, 0, 1, 3], 2)] == [[4, 2], [0, 1], [3]]
    assert batches([], 4) == []
    with pytest.raises(ConfigError, match="micro_batch_size is 0"):
        batches([1], 0)


def test_a_batch_by_hand() -> None:
    windows = make_windows([10, 11, 12, 13, 14, 15], 4)
    batch = pad_batch(windows, [1, 0], 3, 5)
    tokens, targets = batch.tokens, batch.targets
    skip = IGNORE_INDEX
    assert tokens.tolist() == [[14, 15, 0, 0, 0], [10, 11, 12, 13, 0], [0] * 5]
    assert targets.tolist() == [[15] + [skip] * 4, [11, 12, 13, skip, skip], [skip] * 5]
    assert tokens.dtype == targets.dtype == np.int32


def test_batches_predict_every_token_but_the_first_of_each_window() -> None:
    rng = random.Random(4)
    for _ in range(200):
        size, rows = rng.randint(2, 12), rng.randint(1, 5)
        windows = make_windows([rng.randrange(1, 99) for _ in range(rng.randint(2, 90))], size)
        predicted: list[int] = []
        for indices in batches(range(windows.num_windows), rows):
            batch = pad_batch(windows, indices, rows, size + rng.randint(0, 2))
            tokens, targets = batch.tokens, batch.targets
            mask = targets != IGNORE_INDEX
            assert not mask[:, -1].any()
            np.testing.assert_array_equal(
                targets[:, :-1][mask[:, :-1]], tokens[:, 1:][mask[:, :-1]]
            )
            predicted += targets[mask].tolist()
        assert len(predicted) == windows.num_predicted
        wanted = [windows.inputs(i)[1:] for i in range(windows.num_windows)]
        assert predicted == np.concatenate(wanted).tolist()


@pytest.mark.parametrize(("indices", "rows", "size"), [([0, 1], 1, 4), ([0], 1, 3)])
def test_a_batch_that_does_not_fit_is_refused(indices: list[int], rows: int, size: int) -> None:
    windows = make_windows(list(range(8)), 4)
    with pytest.raises(ConfigError, match="do not fit in a batch"):
        pad_batch(windows, indices, rows, size)


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("max_tokens", [1, 10, 25, 70, 999, 10_000])
def test_spread_windows_are_few_enough_and_evenly_spread(total: int, max_tokens: int) -> None:
    windows = make_windows(range(10 * total), 10)
    chosen = spread_windows(windows, max_tokens)
    count = chosen.num_windows
    assert count == min(total, max(1, max_tokens // 10))
    places = chosen.starts / 10
    gaps = np.diff([-total / count / 2, *places, total + total / count / 2 - 1])
    assert gaps.min() > 0
    assert gaps.max() <= total / count + 1
    assert spread_windows(windows, max_tokens).starts.tolist() == chosen.starts.tolist()
    assert spread_windows(windows, None) is windows
    assert num_windows_read(windows, max_tokens) == count
    assert num_windows_read(None, max_tokens) == 0
