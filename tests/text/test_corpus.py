"""Bytes to text, and every way they are refused."""

from __future__ import annotations

import json

import pytest

from app.errors import CorpusError
from app.text.corpus import (
    MAX_CORPUS_BYTES,
    check_corpus_size,
    check_corpus_text,
    decode_corpus,
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


def test_samples_are_small_and_listed(tokenizer: Tokenizer) -> None:
    folder = ROOT / "static/samples"
    samples = json.loads((folder / "index.json").read_text())
    assert {sample["file"] for sample in samples} == {file.name for file in folder.glob("*.txt")}
    for sample in samples:
        assert all(sample[key] for key in ("title", "description", "question"))
        text = decode_corpus((folder / sample["file"]).read_bytes(), sample["file"], 6000)
        assert 500 < len(tokenizer.encode(text)) < 1500
