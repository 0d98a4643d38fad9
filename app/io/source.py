"""Where bytes come from: a file, a Blob, the browser's private file system.

A source is read in slices. `read` brings a slice into Python (headers, metadata);
`chunk` hands it over in the host's own form (a memoryview, or a JavaScript Uint8Array
that never enters the WASM heap) for `Device.write`, so that weights pass Python by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from app.errors import FormatError
from app.messages import say

HostBytes = Any
"""A memoryview natively, a JavaScript Uint8Array in the browser; only a device looks inside."""


def part_of(data: HostBytes, start: int, stop: int) -> HostBytes:
    """Return bytes start..stop of a chunk without copying them."""
    return data[start:stop] if isinstance(data, memoryview) else data.subarray(start, stop)


class ByteSource(Protocol):
    """Random access to the bytes of one file."""

    name: str
    size_bytes: int

    async def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`. Raises FormatError past the end."""
        ...

    async def chunk(self, offset: int, size: int) -> HostBytes:
        """Return the same bytes in the host's own form, not copied into Python."""
        ...


def check_range(source: ByteSource, offset: int, size: int) -> None:
    """Raise FormatError unless the slice lies inside the source."""
    if offset < 0 or size < 0 or offset + size > source.size_bytes:
        raise FormatError(
            say(
                "{name} ends after {size_bytes} bytes but bytes {offset} to {offset_2} are "
                "needed: the file is truncated, fetch it again",
                name=source.name,
                size_bytes=source.size_bytes,
                offset=offset,
                offset_2=offset + size,
            )
        )


class MemorySource:
    """Bytes that are in Python already (tests, small files)."""

    def __init__(self, data: bytes, name: str = "bytes") -> None:
        """Serve `data` under `name`, which error messages show."""
        self.name = name
        self.size_bytes = len(data)
        self._data = data

    async def read(self, offset: int, size: int) -> bytes:
        """Return a copy of the slice."""
        check_range(self, offset, size)
        return self._data[offset : offset + size]

    async def chunk(self, offset: int, size: int) -> HostBytes:
        """Return a view of the slice."""
        return memoryview(await self.read(offset, size))


class FileSource:
    """A file on disk, memory-mapped: only the pages that are read are brought in."""

    def __init__(self, path: Path) -> None:
        """Open and map the file. Raises FormatError where it cannot be read."""
        import mmap

        self.name = path.name
        try:
            with path.open("rb") as file:
                self.size_bytes = path.stat().st_size
                self._view = memoryview(
                    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size_bytes else b""
                )
        except OSError as error:
            raise FormatError(
                say("cannot read {path}: {strerror}", path=path, strerror=error.strerror)
            ) from error

    async def read(self, offset: int, size: int) -> bytes:
        """Return a copy of the slice."""
        check_range(self, offset, size)
        return bytes(self._view[offset : offset + size])

    async def chunk(self, offset: int, size: int) -> HostBytes:
        """Return a view of the mapped pages."""
        check_range(self, offset, size)
        return self._view[offset : offset + size]
