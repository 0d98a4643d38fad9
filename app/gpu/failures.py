"""What a GPU that is full or gone is called, in sentences for people."""

from __future__ import annotations

from app.gpu.budget import format_bytes
from app.messages import say


def lost_message(reason: str) -> str:
    """Return that the device went away.

    Args:
        reason: As the browser or the driver put it.
    """
    return say(
        "the GPU went away ({reason}): its driver was restarted, or the browser took it back",
        reason=reason,
    )


def out_of_memory(label: str, size_bytes: int) -> str:
    """Return that something found no room, and what to do.

    Args:
        label: Of the buffer that could not be made (`app.gpu.memory` numbers the slots that
            what a run computes lies in); empty where nobody told.
        size_bytes: Of that buffer; 0 where nobody told.
    """
    if not label or not size_bytes:
        return say(
            "the GPU's memory is full: choose a shorter window or a smaller micro-batch under "
            "Plan & settings, or a smaller model, and close other tabs that use the GPU"
        )
    return say(
        "the GPU's memory is full: {label} asked for {size} more. Choose a shorter window or a "
        "smaller micro-batch under Plan & settings, or a smaller model, and close other tabs "
        "that use the GPU",
        label=say("working memory") if label.startswith("slot ") else label,
        size=format_bytes(size_bytes),
    )
