"""Times for people, no finer than an estimate is."""

from __future__ import annotations

from app.messages import say, say_count

MINUTE, HOUR, DAY = 60, 3600, 86_400

GRAINS = (
    (90, 1),
    (3 * MINUTE, 10),
    (HOUR, MINUTE),
    (3 * HOUR, 5 * MINUTE),
    (10 * HOUR, 10 * MINUTE),
    (2 * DAY, HOUR),
)
"""Up to which time, in seconds, what grain is told; from there on days. Each bound is a multiple
of both grains that meet there, so of two times the larger is never told as the smaller."""


def format_duration(seconds: float) -> str:
    """Return a time for people, no finer than an estimate is."""
    if seconds < 1:
        return say("less than a second")
    grain = next((grain for below, grain in GRAINS if seconds < below), DAY)
    total = round(seconds / grain) * grain
    if total < 90:
        return f"{total} s"
    if total < 3 * MINUTE:
        return _both(total // MINUTE, "min", total % MINUTE, "s")
    if total < HOUR:
        return f"{total // MINUTE} min"
    if total < 2 * DAY:
        return _both(total // HOUR, "h", total % HOUR // MINUTE, "min")
    return say_count(total // DAY, "{count} day", "{count} days")


def format_range(low: float, high: float) -> str:
    """Return two times with a dash between; what lies between them is told as between."""
    ends = format_duration(low), format_duration(high)
    return ends[0] if ends[0] == ends[1] else say("{low} – {high}", low=ends[0], high=ends[1])


def _both(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large} {unit} {small} {small_unit}" if small else f"{large} {unit}"
