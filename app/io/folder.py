"""A model that is several files: a folder on disk, or files chosen together in the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import FormatError
from app.io.source import ByteSource, FileSource, HostBytes, check_range
from app.messages import say

READ_SUFFIXES = (".json", ".jinja", ".safetensors")

FILE_STRIDE = 1 << 44
"""Where one file of a joined source ends and the next begins: 16 TiB, beyond any file."""


@dataclass(frozen=True)
class ModelFolder:
    """The files of a HuggingFace model by name; which of them are needed is found out later."""

    name: str
    files: Mapping[str, ByteSource]


ModelSource = ByteSource | ModelFolder
"""A GGUF file, or the files of a HuggingFace model."""


def open_model_path(path: Path) -> ModelSource:
    """Open a GGUF file or a model's folder. Raises FormatError where it cannot be read."""
    if path.suffix == ".safetensors" and path.is_file():
        raise FormatError(
            say(
                "{name} is the weights of a model alone: give the folder that it is in, with "
                "config.json and tokenizer.json beside it",
                name=path.name,
            )
        )
    if not path.is_dir():
        return FileSource(path)
    try:
        found = sorted(item for item in path.iterdir() if item.suffix in READ_SUFFIXES)
    except OSError as error:
        raise FormatError(
            say("cannot read {path}: {strerror}", path=path, strerror=error.strerror)
        ) from error
    files = {item.name: FileSource(item) for item in found if item.is_file()}
    return ModelFolder(path.resolve().name, files)


class JoinedSource:
    """Several sources as one: byte b of file i is byte i · FILE_STRIDE + b here.

    So far apart, no slice of what lies close together ever spans two files.
    """

    def __init__(self, name: str, sources: list[ByteSource]) -> None:
        """Join `sources` in order."""
        self.name = name
        self._sources = sources
        self.size_bytes = sum(source.size_bytes for source in sources)

    async def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, which lie in one of the files."""
        source, start = self._find(offset, size)
        return await source.read(start, size)

    async def chunk(self, offset: int, size: int) -> HostBytes:
        """Return the same bytes in the host's own form."""
        source, start = self._find(offset, size)
        return await source.chunk(start, size)

    def _find(self, offset: int, size: int) -> tuple[ByteSource, int]:
        index, start = divmod(offset, FILE_STRIDE)
        if not 0 <= index < len(self._sources):
            check_range(self, offset, size)
        source = self._sources[index]
        check_range(source, start, size)
        return source, start
