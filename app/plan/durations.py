"""Times for people, no finer than an estimate is."""

from __future__ import annotations

from app.messages import say, say_count

MINUTE, HOUR, DAY = 60, 3600, 86_400

SECONDS_BELOW, HOURS_BELOW = 90, 2 * DAY
"""Up to where a time is told in seconds, and in hours."""


def format_duration(seconds: float) -> str:
    """Return a time for people, no finer than an estimate is."""
    return _written(seconds, seconds)


def format_range(low: float, high: float) -> str:
    """Return two times with a dash between, in the units of the larger one."""
    ends = _written(low, high), _written(high, high)
    return ends[0] if ends[0] == ends[1] else say("{low} – {high}", low=ends[0], high=ends[1])


def _written(seconds: float, largest: float) -> str:
    if seconds < 1:
        return say("less than a second")
    minutes = round(seconds / MINUTE)
    if largest < SECONDS_BELOW or not minutes:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    days = round(seconds / DAY)
    if largest < HOURS_BELOW or not days:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return say_count(days, "{count} day", "{count} days")
