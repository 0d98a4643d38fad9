"""The run that was interrupted: what is told of it, going on with it, letting it go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.errors import CheckpointError
from app.io.checkpoint import (
    Checkpoint,
    CheckpointStore,
    clear_checkpoints,
    load_checkpoint,
    read_summary,
)
from app.messages import say
from app.studio.protocol import ResumableEvent, ResumableRun, WarningEvent


class CheckpointDesk:
    """Keeps the checkpoints of one run; the page hears whenever there is one to go on with."""

    def __init__(self, post: Callable[[Any], None], store: CheckpointStore | None) -> None:
        """Send events through `post`; without a `store` nothing is kept."""
        self._post = post
        self.store = store

    async def announce(self, base_name: str) -> None:
        """Tell the page of the run that can be gone on with on this model, or that there is none.

        Only a few bytes are read: whether the checkpoint is sound turns out when it is used.
        """
        summary = None if self.store is None else await read_summary(self.store)
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
            checkpoint = await load_checkpoint(self.store, self._warn)
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
    )
