"""The checkpoints of a run of all weights in the page: how large, how often, and whether at all."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.gpu.budget import format_bytes
from app.messages import say
from app.plan.durations import format_duration
from app.plan.mode_plan import Advice, ModePlan
from app.runs.pace import CheckpointPace

LEAST_KEPT = 2
"""While one is written, the one before it stays."""


@dataclass(frozen=True)
class Room:
    """What the browser lets the page store.

    Attributes:
        num_bytes: For checkpoints in all, those of earlier runs counted as free; None: unknown.
    """

    num_bytes: int | None


@dataclass(frozen=True)
class KeptPlan:
    """What a run keeps as it goes.

    Attributes:
        plan: The run.
        room: None where nothing can be stored.
        asked: Steps from one checkpoint to the next, None where the page chooses.
    """

    plan: ModePlan = field(repr=False)
    room: Room | None
    asked: int | None

    @property
    def size_bytes(self) -> int:
        """Bytes of a checkpoint."""
        outline = self.plan.outline
        has_best = bool(self.plan.settings.train.early_stop_patience)
        return outline.checkpoint_bytes + (outline.best_bytes if has_best else 0)

    @property
    def model_bytes(self) -> int:
        """Bytes of what the run comes to."""
        return self.plan.outline.best_bytes

    @property
    def is_model_kept(self) -> bool:
        """Whether that has room; the checkpoints of its run give way to it."""
        if self.room is None:
            return False
        return self.room.num_bytes is None or self.room.num_bytes >= self.model_bytes

    @property
    def is_possible(self) -> bool:
        """Whether there is room."""
        if self.room is None:
            return False
        room_bytes = self.room.num_bytes
        return room_bytes is None or room_bytes >= LEAST_KEPT * self.size_bytes

    @property
    def pace(self) -> CheckpointPace | None:
        """What chooses when one is due, where the page does."""
        return self._pace if self.asked is None and self.is_possible else None

    @property
    def suggested(self) -> int:
        """Steps from one to the next, 0 where there is no room for any."""
        return self._pace.every if self.is_possible else 0

    @property
    def every(self) -> int:
        """The same, as it was asked for where it was."""
        return self.suggested if self.asked is None or not self.is_possible else self.asked

    @property
    def _pace(self) -> CheckpointPace:
        return CheckpointPace(self.size_bytes, self.plan.step_seconds)

    def notes(self) -> list[str]:
        """Return what is kept, a sentence each."""
        model = (
            say(
                "The trained model ({size}) stays in this browser until you download it or let "
                "it go.",
                size=format_bytes(self.model_bytes),
            )
            if self.is_model_kept
            else ""
        )
        return [sentence for sentence in (model, self._checkpoint_note()) if sentence]

    def _checkpoint_note(self) -> str:
        if not self.every:
            return ""
        size = format_bytes(self.size_bytes)
        if self.every >= self.plan.num_steps:
            return say(
                "The run is over before a checkpoint ({size} in this browser’s storage) is due; "
                "Stop keeps one.",
                size=size,
            )
        return say(
            "A checkpoint ({size} in this browser’s storage) is kept every {steps} steps "
            "({time}): after a reload or a crash the run goes on from there.",
            size=size,
            steps=self.every,
            time=format_duration(self.every * self.plan.step_seconds),
        )

    def warnings(self) -> list[Advice]:
        """Return what to say where there is no room for what would be kept."""
        if self.room is None:
            return []
        room, found = format_bytes(self.room.num_bytes or 0), []
        if not self.is_model_kept:
            found.append(
                say(
                    "The trained model ({size}) cannot be kept in this browser, which has room "
                    "for {room}: download it when the run is over, a reload loses it.",
                    size=format_bytes(self.model_bytes),
                    room=room,
                )
            )
        if not self.is_possible and self.asked != 0:
            found.append(
                say(
                    "No checkpoints: they would take {needed} ({count} of {size}), and this "
                    "browser has room for {room}. The run goes without, so a reload or a crash "
                    "loses it.",
                    needed=format_bytes(LEAST_KEPT * self.size_bytes),
                    count=LEAST_KEPT,
                    size=format_bytes(self.size_bytes),
                    room=room,
                )
            )
        return [Advice(sentence) for sentence in found]
