"""Where checkpoints are kept: a folder on disk, or in the browser's private file system."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from app.io.source import ByteSource, FileSource

PART = ".part"
"""What the name of a file ends in until it is whole."""


class CheckpointFile(Protocol):
    """A file that is written piece by piece, under another name until it is whole."""

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write a piece. Raises OSError: full, not allowed."""
        ...

    async def keep(self) -> bool:
        """Read every piece back and compare; where all are as written, the file gets its name.

        Returns:
            Whether they are; else the file is as it was.

        Raises:
            OSError: full, or it cannot be read back.
        """
        ...

    async def drop(self) -> None:
        """Remove what was written, unless it was kept."""
        ...


class CheckpointStore(Protocol):
    """A folder for checkpoints."""

    async def names(self) -> list[str]:
        """Return the names of the files; none where there is no folder."""
        ...

    async def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where there is no such file. Raises OSError."""
        ...

    async def open(self, name: str) -> ByteSource | None:
        """Return a file to be read in slices, None where there is no such file. Raises OSError."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """Write a file whole, replacing one of that name. Raises OSError: full, not allowed."""
        ...

    async def create(self, name: str) -> CheckpointFile:
        """Begin a file that is written in pieces. Raises OSError."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a file, if it is there. Raises OSError."""
        ...

    async def room_bytes(self) -> int | None:
        """Return how much may be written, None where that is not known."""
        ...


class DirectoryStore:
    """A directory on disk, made when first written to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def names(self) -> list[str]:
        """Return the names of the files."""
        return sorted(item.name for item in self.path.iterdir()) if self.path.is_dir() else []

    async def read(self, name: str) -> bytes | None:
        """Return a file's bytes."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    async def open(self, name: str) -> ByteSource | None:
        """Return a file, mapped into memory."""
        path = self.path / name
        return FileSource(path) if path.is_file() else None

    async def write(self, name: str, data: bytes) -> None:
        """Write under another name, flush to the disk, rename."""
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f"{name}{PART}"
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path / name)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    async def create(self, name: str) -> CheckpointFile:
        """Begin a file."""
        self.path.mkdir(parents=True, exist_ok=True)
        return _PartFile(self.path / name)

    async def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)

    async def room_bytes(self) -> int | None:
        """Return what the disk has left."""
        existing = next((path for path in (self.path, *self.path.parents) if path.exists()), None)
        return shutil.disk_usage(existing).free if existing is not None else None


class _PartFile:
    """A file on disk that is written piece by piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}{PART}")
        self._file: BinaryIO = self._part.open("w+b")
        self._written: dict[int, tuple[int, bytes]] = {}

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        self._file.seek(offset)
        self._file.write(data)
        self._written[offset] = len(data), hashlib.sha256(data).digest()

    async def keep(self) -> bool:
        self._file.flush()
        os.fsync(self._file.fileno())
        for offset, (size, digest) in self._written.items():
            self._file.seek(offset)
            if hashlib.sha256(self._file.read(size)).digest() != digest:
                return False
        self._file.close()
        os.replace(self._part, self._path)
        return True

    async def drop(self) -> None:
        self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
