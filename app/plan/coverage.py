"""How much of a text a run reads, and what is said of it before the run."""

from __future__ import annotations

import math

from app.messages import Sentence, say
from app.plan.durations import format_duration
from app.plan.mode_plan import Advice, ModePlan

WHOLE = 0.995
"""Passes from which on a text counts as read to its end."""


def coverage(passes: float) -> Sentence:
    """Return how much of the text is read, as words without a full stop.

    Args:
        passes: Windows visited over the windows there are.
    """
    if passes < WHOLE:
        return say("reads {share} of the text", share=share_of(passes))
    rounded = round(passes, 1)
    if rounded == 1:
        return say("reads the text once")
    count = int(rounded) if rounded.is_integer() else rounded
    return say("{count} passes over the text", count=count)


def share_of(passes: float) -> str:
    """Return what part of a text less than one pass reads; never more than it is."""
    percent = 100 * passes
    return f"{math.floor(percent)} %" if percent >= 1 else f"{math.floor(10 * percent) / 10:.1f} %"


def coverage_advice(plan: ModePlan, whole: ModePlan, *, is_software: bool) -> Advice | None:
    """Return what to say of a run that ends before the text does.

    Args:
        plan: The run.
        whole: The same over the whole text, once.
        is_software: The device is a software adapter: a longer run is not had for little.
    """
    if plan.passes >= WHOLE:
        return None
    total = plan.dataset.train.num_tokens
    text = say(
        "This run reads {share} of the text before it ends, about {read} of {total} tokens. "
        "What stands in the rest is not learnt.",
        share=share_of(plan.passes),
        read=round(plan.passes * total),
        total=total,
    )
    if is_software:
        text = say(
            "{text} It is too short to teach facts of the text: it shows how training works.",
            text=text,
        )
    seconds = whole.time.seconds
    remedy = say("Read all of it once")
    if seconds >= 1:
        remedy = say("Read all of it once: about {time}", time=format_duration(seconds))
    return Advice(text, remedy, {"steps": None, "epochs": 1.0})
