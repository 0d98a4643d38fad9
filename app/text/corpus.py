"""Training text: from the bytes of a file to characters.

Nothing is normalised: line ends, spaces and case reach the model as they stand in the file;
only a byte order mark at the very start is dropped.
"""

from __future__ import annotations

from app.errors import CorpusError
from app.messages import say, say_count

MAX_CORPUS_BYTES = 50_000_000
"""A corpus must be smaller: above, tokenizing alone takes half a minute in a browser."""

_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_KNOWN_FILES = (
    (b"%PDF-", say("a PDF document")),
    (b"PK\x03\x04", say("a zip archive or an office document")),
    (b"\x1f\x8b", say("a gzip archive")),
    (b"\x89PNG", say("a PNG image")),
    (b"\xff\xd8\xff", say("a JPEG image")),
    (b"GGUF", say("a GGUF model")),
)
_SNIFFED_BYTES = 4096


def check_corpus_size(size_bytes: int, name: str, limit_bytes: int = MAX_CORPUS_BYTES) -> None:
    """Raise CorpusError if a text of `size_bytes` is too large; call it before reading a file."""
    if size_bytes >= limit_bytes:
        raise CorpusError(
            say(
                "{name} has {size_bytes} and a corpus must be smaller than {limit_bytes}: "
                "cut it into parts and train on one of them",
                name=name,
                size_bytes=_megabytes(size_bytes),
                limit_bytes=_megabytes(limit_bytes),
            )
        )


def check_corpus_text(text: str, name: str, limit_bytes: int = MAX_CORPUS_BYTES) -> str:
    """Return `text` (pasted or decoded); CorpusError if it is too large or has no words."""
    if 4 * len(text) >= limit_bytes:
        check_corpus_size(len(text.encode(errors="replace")), name, limit_bytes)
    if not text:
        raise CorpusError(say("{name} is empty: paste or choose some text to train on", name=name))
    if text.isspace():
        raise CorpusError(
            say(
                "{name} has {num_text} characters, all of them spaces or line ends: paste or "
                "choose some text to train on",
                name=name,
                num_text=len(text),
            )
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
            say(
                "{name} is encoded as {encoding} and UTF-8 is needed: save it again as UTF-8",
                name=name,
                encoding=encoding,
            )
        )
    for magic, kind in _KNOWN_FILES:
        if data.startswith(magic):
            raise CorpusError(
                say(
                    "{name} is {kind}, not plain text: copy the text out of it or save it as .txt",
                    name=name,
                    kind=kind,
                )
            )
    nul = data.find(b"\0")
    if nul >= 0:
        raise CorpusError(
            say(
                "{name} is a binary file (byte {nul} is zero), not plain text: choose a .txt "
                "file saved as UTF-8",
                name=name,
                nul=nul,
            )
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            say(
                "{name} is not UTF-8: byte {start} (line {line}) is 0x{data}, which does not "
                "fit there. Save it again as UTF-8",
                name=name,
                start=error.start,
                line=line,
                data=f"{data[error.start]:02x}",
            )
        ) from error
    return check_corpus_text(text, name, limit_bytes)


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
    if size_bytes >= 100_000:
        return f"{size_bytes / 1e6:.1f} MB"
    return say_count(size_bytes, "{count} byte", "{count} bytes")
