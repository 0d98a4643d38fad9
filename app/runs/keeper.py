"""Keeps a run as it goes: when a checkpoint is due, and what it holds."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

import numpy.typing as npt

from app import __version__
from app.io.checkpoint import save_checkpoint
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import CheckpointStore
from app.io.checkpoint_stream import stream_checkpoint
from app.runs.identity import lora_document
from app.runs.pace import CheckpointPace
from app.runs.parts import Listener, Parts
from app.runs.record import describe_device
from app.runs.resumed import STATE, summary_of
from app.train.records import StepRecord

MEASURED_STEPS = 20
"""The last ones, whose median is how long a step takes."""


class Keeper:
    """Writes the checkpoints of one run.

    Args:
        parts: What the run is made of.
        listener: Told of each that is written.
        store: Where they go.
        pace: Says when one is due; without, every so many steps as the settings say.

    Attributes:
        pace: The same, with what was measured since.
        run: Eight hexadecimal digits, new for each run and the same where one goes on.
        has_kept: Whether a checkpoint of the run was written, now or before it was gone on with.
    """

    def __init__(
        self, parts: Parts, listener: Listener, store: CheckpointStore, pace: CheckpointPace | None
    ) -> None:
        self._parts = parts
        self._listener = listener
        self._store = store
        self.pace = pace
        self._seconds: deque[float] = deque(maxlen=MEASURED_STEPS)
        self.run = os.urandom(4).hex()
        self.has_kept = False
        self._tried_at = 0

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoints of the run that this one is of."""
        self.run, self._tried_at = checkpoint.run, checkpoint.step
        self.has_kept = True

    def note_step(self, record: StepRecord) -> None:
        """Take a step's time into account."""
        self._seconds.append(record.seconds)

    def is_due(self, step: int) -> bool:
        """Return whether a checkpoint is due after this step."""
        if self.pace is None:
            return step % self._parts.config.checkpoint_every == 0
        if self._seconds:
            self.pace = self.pace.with_step(median(self._seconds))
        return step - self._tried_at >= self.pace.every

    async def keep(
        self, document: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Write a checkpoint of the run as it is, unless there is one of this very step.

        Args:
            document: What the course knows, JSON.
            arrays: The same, of its arrays.

        Raises:
            CheckpointError: it could not be kept; the one before it still is.
        """
        parts = self._parts
        progress, state = parts.trainer.lazy_state()
        if progress.step == self._tried_at:
            return
        self._tried_at = progress.step
        about = {
            "app_version": __version__,
            "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "identity": asdict(parts.identity),
            "lora": lora_document(parts.lora),
            "num_steps": parts.trainer.num_steps,
            "progress": asdict(progress),
            "device": describe_device(parts.model.device),
            **document,
        }
        lazy = {STATE + name: array for name, array in state.items()}
        checkpoint = Checkpoint(self.run, progress.step, about, arrays, lazy)
        started = time.perf_counter()
        await self._write(checkpoint)
        self.has_kept = True
        if self.pace is not None:
            self.pace = self.pace.with_write(time.perf_counter() - started)
        self._listener.on_checkpoint(checkpoint)

    async def _write(self, checkpoint: Checkpoint) -> None:
        def on_written(fraction: float | None) -> None:
            self._listener.on_keeping(checkpoint.step, fraction)

        on_written(0.0)
        if self._parts.adapter is None:
            await stream_checkpoint(self._store, checkpoint, summary_of(checkpoint), on_written)
            return
        read = {name: await array.whole() for name, array in checkpoint.lazy.items()}
        held = replace(checkpoint, arrays={**checkpoint.arrays, **read}, lazy={})
        await save_checkpoint(self._store, held, summary_of(held))
