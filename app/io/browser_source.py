"""A Blob, File or file of the browser's private file system as a ByteSource."""

from __future__ import annotations

from typing import Any

from app.errors import FormatError
from app.io.source import HostBytes, check_range
from app.messages import say


class BlobSource:
    """Slices of a JavaScript Blob (a File is one; an OPFS handle gives one by `getFile()`).

    Blobs are backed by the disk: only the slices asked for are brought into memory.
    """

    def __init__(self, blob: Any, name: str | None = None) -> None:
        """Read from `blob`; its own name is used where none is given."""
        self.name: str = name or str(getattr(blob, "name", None) or "model")
        self.size_bytes = int(blob.size)
        self._blob = blob

    async def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, copied into Python."""
        data: bytes = (await self._array_buffer(offset, size)).to_bytes()
        return data

    async def chunk(self, offset: int, size: int) -> HostBytes:
        """Return the same bytes as a JavaScript Uint8Array, which Python never looks into."""
        from js import Uint8Array

        return Uint8Array.new(await self._array_buffer(offset, size))

    async def _array_buffer(self, offset: int, size: int) -> Any:
        from pyodide.ffi import JsException

        check_range(self, offset, size)
        try:
            buffer = await self._blob.slice(offset, offset + size).arrayBuffer()
        except JsException as error:
            raise FormatError(
                say(
                    "{name} cannot be read ({error}): it was moved, changed or deleted since it "
                    "was chosen, so choose it again",
                    name=self.name,
                    error=error,
                )
            ) from error
        if buffer.byteLength != size:
            raise FormatError(
                say(
                    "{name} gave {bytelength} bytes where {size} were asked for: choose the file "
                    "again",
                    name=self.name,
                    bytelength=buffer.byteLength,
                    size=size,
                )
            )
        return buffer
