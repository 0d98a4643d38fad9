"""Byte sources: ranges, missing files, and Blobs through a stand-in for the browser's API."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.errors import FormatError
from app.io.browser_source import BlobSource
from app.io.source import ByteSource, FileSource, MemorySource
from tests.tiny_model import run_now

DATA = bytes(range(100))


class JsError(Exception):
    pass


class ArrayBuffer:
    def __init__(self, data: bytes) -> None:
        self.byteLength = len(data)
        self.data = data

    def to_bytes(self) -> bytes:
        return self.data


class Blob:
    """The three members of a JavaScript File that BlobSource uses, with slice's clamping."""

    def __init__(self, data: bytes, name: str = "model.gguf", broken: bool = False) -> None:
        self.size = len(data)
        self.name = name
        self.broken = broken
        self.data = data

    def slice(self, start: int, end: int) -> "Blob":
        return Blob(self.data[start:end], broken=self.broken)

    async def arrayBuffer(self) -> ArrayBuffer:  # noqa: N802 - JavaScript's name
        if self.broken:
            raise JsError("NotReadableError")
        return ArrayBuffer(self.data)


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> None:
    array = SimpleNamespace(new=lambda buffer: ("Uint8Array", buffer.data))
    monkeypatch.setitem(sys.modules, "js", SimpleNamespace(Uint8Array=array))
    monkeypatch.setitem(sys.modules, "pyodide", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "pyodide.ffi", SimpleNamespace(JsException=JsError))


@pytest.fixture(params=["memory", "file", "blob"])
def source(request: pytest.FixtureRequest, tmp_path: Path, browser: None) -> ByteSource:
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA)
    makers: dict[str, Callable[[], ByteSource]] = {
        "memory": lambda: MemorySource(DATA, "model.gguf"),
        "file": lambda: FileSource(path),
        "blob": lambda: BlobSource(Blob(DATA)),
    }
    return makers[request.param]()


def test_reads_exactly_the_slice(source: ByteSource) -> None:
    assert (source.name, source.size_bytes) == ("model.gguf", 100)
    for offset, size in ((0, 100), (0, 0), (100, 0), (3, 5), (99, 1)):
        assert run_now(source.read(offset, size)) == DATA[offset : offset + size]


def test_chunks_hold_the_same_bytes(source: ByteSource) -> None:
    chunk = run_now(source.chunk(10, 20))
    data = chunk[1] if isinstance(chunk, tuple) else bytes(chunk)
    assert data == DATA[10:30]


@pytest.mark.parametrize(("offset", "size"), [(0, 101), (100, 1), (-1, 2), (5, -1), (2**60, 1)])
def test_refuses_ranges_outside(source: ByteSource, offset: int, size: int) -> None:
    for method in (source.read, source.chunk):
        with pytest.raises(FormatError, match=r"model\.gguf ends after 100 bytes"):
            run_now(method(offset, size))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot read .*no\.gguf: No such file"):
        FileSource(tmp_path / "no.gguf")
    with pytest.raises(FormatError, match="Is a directory"):
        FileSource(tmp_path)


def test_empty_files_are_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    source = FileSource(tmp_path / "empty")
    assert asyncio.run(source.read(0, 0)) == b""


def test_a_blob_that_went_away_asks_to_choose_again(browser: None) -> None:
    with pytest.raises(FormatError, match=r"model\.gguf cannot be read \(NotReadableError\)"):
        run_now(BlobSource(Blob(DATA, broken=True)).read(0, 4))


def test_a_blob_that_shrank_is_noticed(browser: None) -> None:
    blob = Blob(DATA)
    source = BlobSource(blob, "given.gguf")
    blob.data = DATA[:50]
    with pytest.raises(FormatError, match=r"given\.gguf gave 0 bytes where 10 were asked for"):
        run_now(source.chunk(60, 10))
