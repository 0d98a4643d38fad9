"""Walk through the header of a GGUF file; no length in it is trusted."""

from __future__ import annotations

import struct
from typing import Any

from app.errors import FormatError
from app.io.source import ByteSource
from app.messages import say

SLICE_BYTES = 4 << 20
MAX_HEADER_BYTES = 128 << 20
"""Far above any real vocabulary; keeps a lying header from filling Python's heap."""

A_NUMBER = say("a number")


class HeaderCursor:
    """Position in a header whose bytes are fetched slice by slice as they are needed."""

    def __init__(self, source: ByteSource) -> None:
        """Begin at the first byte."""
        self.source = source
        self.data = b""
        self.position = 0

    @property
    def remaining(self) -> int:
        """Bytes of the file after the position, fetched or not."""
        return self.source.size_bytes - self.position

    def corrupted(self, what: str) -> FormatError:
        """Return an error that says what is wrong, and where."""
        return FormatError(
            say(
                "{name} is not a sound GGUF file: {what} (near byte {position}). "
                "It is damaged or was written wrongly: fetch it again or take another file",
                name=self.source.name,
                what=what,
                position=self.position,
            )
        )

    async def need(self, size: int, what: str) -> None:
        """Make the next `size` bytes available in `data`."""
        end = self.position + size
        if end <= len(self.data):
            return
        if end > self.source.size_bytes:
            raise FormatError(
                say(
                    "{name} is truncated or damaged: {what} needs {size} bytes at byte "
                    "{position}, but the file ends at {size_bytes}: fetch it again",
                    name=self.source.name,
                    what=what,
                    size=size,
                    position=self.position,
                    size_bytes=self.source.size_bytes,
                )
            )
        if end > MAX_HEADER_BYTES:
            raise self.corrupted(
                say(
                    "its header goes beyond {limit} bytes at {what}",
                    limit=MAX_HEADER_BYTES,
                    what=what,
                )
            )
        wanted = max(end, len(self.data) + SLICE_BYTES, 2 * len(self.data))
        wanted = min(wanted, self.source.size_bytes, MAX_HEADER_BYTES)
        self.data += await self.source.read(len(self.data), wanted - len(self.data))

    async def take(self, size: int, what: str) -> bytes:
        """Return the next `size` bytes; `what` they are is for the message."""
        await self.need(size, what)
        start = self.position
        self.position += size
        return self.data[start : self.position]

    async def number(self, letter: str, what: str = A_NUMBER) -> Any:
        """Return the next number, of a type as `struct` writes it."""
        (value,) = struct.unpack("<" + letter, await self.take(struct.calcsize("<" + letter), what))
        return value

    async def string(self, what: str, limit: int = MAX_HEADER_BYTES) -> str:
        """Return the next string: its length in 8 bytes, then UTF-8."""
        length = await self.number("Q", what)
        if length > limit:
            raise self.corrupted(
                say(
                    "{what} claims {length} bytes, more than {limit}",
                    what=what,
                    length=length,
                    limit=limit,
                )
            )
        raw = await self.take(length, what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self.corrupted(say("{what} is not UTF-8", what=what)) from error
