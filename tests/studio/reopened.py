"""Pages that find again what an earlier one stored."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager

from app.gpu.device import Device
from app.io.checkpoint_store import CheckpointFile, CheckpointStore, DirectoryStore
from app.studio.session import Session
from tests.studio.conftest import Message, Page


class Tight(DirectoryStore):
    """A browser's storage, whose room is said, and may be less than was said.

    Attributes:
        room: Bytes that are said to be free.
        holds: Bytes that a file may have before the disk is full.
    """

    room: int | None = None
    holds: int | None = None

    async def room_bytes(self) -> int | None:
        return self.room

    async def create(self, name: str) -> CheckpointFile:
        file = await super().create(name)
        write = file.write

        async def counted(offset: int, data: bytes | memoryview) -> None:
            if self.holds is not None and offset + len(data) > self.holds:
                raise OSError(errno.ENOSPC, "No space left on device")
            await write(offset, data)

        setattr(file, "write", counted)  # noqa: B010
        return file


@contextmanager
def opened(
    device: Device,
    gguf: bytes,
    checkpoints: CheckpointStore,
    models: CheckpointStore | None = None,
) -> Iterator[Page]:
    """A page as after a reload: nothing is left but what was stored."""
    page = Page(device)
    page.sources["tiny.gguf"] = gguf
    stores = (None, checkpoints, models)
    page.session = Session(page._hear, page._open_device, page._open_source, *stores)

    async def start() -> None:
        await page.session.start()
        await page.ask("load-model", source="tiny.gguf")

    asyncio.run(start())
    yield page
    page.session.close()


def losses(page: Page) -> list[tuple[int, float]]:
    return [(step["step"], step["loss"]) for step in page.events("step")]


def stop_at(page: Page, step: int) -> None:
    """Press Stop when a step is reported."""

    def hear(message: Message) -> None:
        if message.get("type") == "step" and message["step"] == step:
            page.session.place.training.stop()

    page.listen(hear)
