"""A .zip that is made piece by piece, for files that are too large to be held as a whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

Piece = tuple[int, bytes]
"""Where in the file some bytes belong. A later piece replaces one of the same place and length."""

_MOMENT = (1980, 1, 1, 0, 0, 0)
_LARGE_BYTES = 2**31
"""A file near 4 GiB is written in the format's 64-bit form, which not everything reads."""


async def zip_pieces(
    texts: Mapping[str, str], name: str, pieces: AsyncIterable[bytes], size_bytes: int
) -> AsyncIterator[Piece]:
    """Yield a .zip, not compressed, of small files and a large one that comes in pieces.

    An entry's checksum stands before its bytes and is known after them: its header comes twice,
    the second time as it should be. So the file is sound even for those who read from its front.

    Args:
        texts: Small files by name.
        name: Of the large one.
        pieces: Its bytes in order; one piece is held at a time.
        size_bytes: About as many as it has.
    """
    stream = _Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for each, text in texts.items():
            archive.writestr(_entry(each), text)
        with archive.open(_entry(name), "w", force_zip64=size_bytes >= _LARGE_BYTES) as file:
            async for data in pieces:
                file.write(data)
                for piece in stream.take():
                    yield piece
    for piece in stream.take():
        yield piece


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _MOMENT)
    info.external_attr = 0o644 << 16
    return info


class _Stream(io.RawIOBase):
    """Takes what is written, and where."""

    def __init__(self) -> None:
        super().__init__()
        self._at = self._end = 0
        self._pieces: list[Piece] = []

    def take(self) -> list[Piece]:
        """Return what was written since the last call."""
        taken, self._pieces = self._pieces, []
        return taken

    def write(self, data: Any) -> int:
        """Note some bytes."""
        self._pieces.append((self._at, bytes(data)))
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return where the next bytes go."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Choose where the next bytes go."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        self._at = base + offset
        return self._at
