"""The run that was interrupted: what is told of it, going on with it, letting it go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.errors import CheckpointError
from app.io.checkpoint import (
    clear_checkpoints,
    load_checkpoint,
    read_summary,
    tidy_checkpoints,
)
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import CheckpointStore
from app.messages import say
from app.runs.resumed import is_state
from app.studio.kept_plan import Room
from app.studio.protocol import ResumableEvent, ResumableRun, WarningEvent


class CheckpointDesk:
    """Keeps the checkpoints of one run; the page hears whenever there is one to go on with."""

    def __init__(
        self,
        post: Callable[[Any], None],
        store: CheckpointStore | None,
        models: CheckpointStore | None = None,
    ) -> None:
        """Send events through `post`; without a `store` nothing is kept.

        What lies in `models` gives way to another run as well.
        """
        self._post = post
        self._models = models
        self.store = store

    async def room(self) -> Room | None:
        """Return what may be stored; what lies there already gives way to another run's."""
        if self.store is None:
            return None
        try:
            free_bytes = await self.store.room_bytes()
            if free_bytes is None:
                return Room(None)
            stores = [store for store in (self.store, self._models) if store is not None]
            opened = [await store.open(name) for store in stores for name in await store.names()]
            return Room(free_bytes + sum(file.size_bytes for file in opened if file is not None))
        except OSError:
            return None

    async def announce(self, base_name: str) -> None:
        """Tell the page of the run that can be gone on with on this model, or that there is none.

        Only a few bytes are read: whether the checkpoint is sound turns out when it is used.
        """
        summary = None
        if self.store is not None:
            await tidy_checkpoints(self.store)
            summary = await read_summary(self.store)
        try:
            run = None if summary is None else _described(summary, base_name)
        except (KeyError, TypeError, ValueError):
            run = None
        self._post(ResumableEvent(run))

    async def load(self) -> Checkpoint:
        """Return the newest sound checkpoint; of others a warning tells.

        Raises:
            CheckpointError: there is none.
        """
        checkpoint = None
        if self.store is not None:
            checkpoint = await load_checkpoint(self.store, self._warn, is_state)
        if checkpoint is None:
            raise CheckpointError(say("there is no checkpoint to go on from: begin the run anew"))
        return checkpoint

    async def clear(self) -> None:
        """Let the checkpoints go."""
        if self.store is not None:
            await clear_checkpoints(self.store)

    def _warn(self, sentence: str) -> None:
        self._post(WarningEvent(sentence))


def _described(summary: dict[str, Any], base_name: str) -> ResumableRun:
    return ResumableRun(
        step=int(summary["step"]),
        num_steps=int(summary["num_steps"]),
        saved_at=str(summary["saved_at"]),
        base_name=str(summary["base_name"]),
        is_this_model=summary["base_name"] == base_name,
        num_characters=int(summary["num_characters"]),
        mode=str(summary.get("mode", "adapter")),
        bytes=int(summary.get("bytes", 0)),
    )
