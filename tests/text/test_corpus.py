"""Bytes to text, tokens to windows, windows to batches; and every way a text is refused."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from app.errors import ConfigError, CorpusError
from app.text.corpus import (
    IGNORE_INDEX,
    MAX_CORPUS_BYTES,
    batches,
    check_corpus_size,
    check_corpus_text,
    check_tokens,
    decode_corpus,
    make_windows,
    pad_batch,
    split_eval,
)
from app.text.tokenizer import Tokenizer
from tests.text.conftest import ROOT


@pytest.mark.parametrize(
    "text", ["plain", "two\r\nlines\rand\n", "\ttabs \u0001 and\x0b controls", "漢字 🦜 é", " x"]
)
def test_text_arrives_as_it_stands(text: str) -> None:
    assert decode_corpus(text.encode(), "a.txt") == text
    assert decode_corpus(b"\xef\xbb\xbf" + text.encode(), "a.txt") == text
    assert check_corpus_text(text, "the text") == text


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "a.txt is empty: paste or choose"),
        (b"\xef\xbb\xbf", "a.txt is empty: paste or choose"),
        (b" \r\n\t\xc2\xa0", "a.txt has 5 characters, all of them spaces or line ends"),
        ("Grüße".encode("utf-16"), "a.txt is encoded as UTF-16 and UTF-8 is needed"),
        ("Grüße".encode("utf-32"), "a.txt is encoded as UTF-32 and UTF-8 is needed"),
        ("no mark here".encode("utf-16-le"), "a.txt is encoded as UTF-16 and UTF-8 is needed"),
        ("no mark here".encode("utf-16-be"), "a.txt is encoded as UTF-16 and UTF-8 is needed"),
        (b"\xfe\xff\x00", "a.txt is encoded as UTF-16 and UTF-8 is needed"),
        (b"text\x00\x01\x02\x03", r"a.txt is a binary file \(byte 4 is zero\), not plain text"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", r"a.txt is a binary file \(byte 7 is zero\)"),
        (b"%PDF-1.7\n", "a.txt is a PDF document, not plain text: copy the text out"),
        (b"PK\x03\x04\x14\x00", "a.txt is a zip archive or an office document, not plain text"),
        ("Zeile\nGrüße".encode("latin-1"), r"not UTF-8: byte 8 \(line 2\) is 0xfc, which"),
        (b"cut \xe2\x82", r"not UTF-8: byte 4 \(line 1\) is 0xe2, which"),
        (b"lone half \xed\xa0\x80", r"not UTF-8: byte 10 \(line 1\) is 0xed"),
    ],
)
def test_bytes_that_are_no_text_get_their_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(CorpusError, match=sentence):
        decode_corpus(data, "a.txt")


def test_a_corpus_of_50_mb_is_too_large() -> None:
    sentence = r"a.txt has 50.0 MB and a corpus must be smaller than 50.0 MB: cut it into parts"
    with pytest.raises(CorpusError, match=sentence):
        decode_corpus(b"x" * MAX_CORPUS_BYTES, "a.txt")
    with pytest.raises(CorpusError, match=r"has 52\.4 MB"):
        check_corpus_size(50 << 20, "a.txt")
    check_corpus_size(MAX_CORPUS_BYTES - 1, "a.txt")


def test_the_limit_counts_bytes_not_characters() -> None:
    assert decode_corpus("漢漢漢".encode(), "a.txt", limit_bytes=10) == "漢漢漢"
    assert check_corpus_text("漢漢漢", "the text", limit_bytes=10) == "漢漢漢"
    sentence = r"it has 9 bytes and a corpus must be .* 9 bytes"
    with pytest.raises(CorpusError, match=sentence):
        decode_corpus("漢漢漢".encode(), "it", limit_bytes=9)
    with pytest.raises(CorpusError, match=sentence):
        check_corpus_text("漢漢漢", "it", limit_bytes=9)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_pasted_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(CorpusError, match="paste or choose some text"):
        check_corpus_text(text, "the text")


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
            assert np.shares_memory(pieces[0], windows.token_ids)


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
    tokens, targets = pad_batch(windows, [1, 0], 3, 5)
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
            tokens, targets = pad_batch(windows, indices, rows, size + rng.randint(0, 2))
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


def test_samples_are_small_and_listed(tokenizer: Tokenizer) -> None:
    folder = ROOT / "static/samples"
    samples = json.loads((folder / "index.json").read_text())
    assert {sample["file"] for sample in samples} == {file.name for file in folder.glob("*.txt")}
    for sample in samples:
        assert all(sample[key] for key in ("title", "description", "question"))
        text = decode_corpus((folder / sample["file"]).read_bytes(), sample["file"], 6000)
        assert 500 < len(tokenizer.encode(text)) < 1500
