"""Reading the curve of a search for a learning rate: where it falls, where it comes apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.messages import say, say_count

Array = NDArray[np.float64]

HALF_WIDTH = 0.4
"""Decades to either side that smoothing looks at."""

LAST = 3
"""Steps whose mean decides whether the run is coming apart."""

RISE = 0.1
"""Share of the loss that a rise has to reach for it."""

FLAT = 0.002
"""Share of the loss that it has to fall by at least."""

SIGNAL = 3.0
"""How many times the scatter of a step it has to fall by at least. Of 500 searches of 40 steps
that do nothing but scatter, fewer than one in twenty-five is then given a rate:
tests/train/test_rate_curve.py."""

BEGUN = 0.1
"""Share of the whole fall from which on a rate is called useful; it is over as far from its end."""

MIN_POINTS = 6

SCATTER_POINTS = 8
"""Points that tell the scatter, at least."""


@dataclass(frozen=True)
class RatePoint:
    """One step of the search; losses in nats a token.

    Attributes:
        loss: Of the step's windows, before its update.
        loss_before: Of the same windows, before the first update.
        num_tokens: Of all steps so far.
        seconds: Time of this step.
    """

    step: int
    learning_rate: float
    loss: float
    loss_before: float
    num_tokens: int = 0
    seconds: float = 0.0

    @property
    def change(self) -> float:
        """What the updates so far did to the loss; below zero is better."""
        return self.loss - self.loss_before


@dataclass(frozen=True)
class RateCurve:
    """What the points of a search come to.

    Attributes:
        suggestion: Where the loss falls steepest, to two digits; None where that would be a guess.
        low: Rate from which on the loss falls, to two digits; None without a suggestion.
        high: Rate at which it is least, likewise.
        reason: Why there is no suggestion, as a sentence; empty where there is one.
        fall: By how much the smoothed loss falls at most, in nats.
        scatter: Typical distance of a step from the smoothed curve up to there, in nats.
        smoothed: The smoothed change at each point.
    """

    suggestion: float | None
    low: float | None
    high: float | None
    reason: str
    fall: float
    scatter: float
    smoothed: tuple[float, ...]


def is_coming_apart(points: Sequence[RatePoint]) -> bool:
    """Return whether the last steps' loss has risen for good.

    Their mean is then no better than where it began, and above the least such mean by a tenth of
    the loss.
    """
    if len(points) < MIN_POINTS:
        return False
    means = np.convolve(_changes(points), np.full(LAST, 1 / LAST), "valid")
    return bool(means[-1] > max(0.0, RISE * _loss_before(points) + float(means.min())))


def read_curve(points: Sequence[RatePoint], *, stopped: bool, diverged: bool) -> RateCurve:
    """Return what a search has found, or why it has found nothing.

    Args:
        points: In order; their rates rise.
        stopped: The person ended the search.
        diverged: The run came apart, else it went through to its highest rate.
    """
    if len(points) < MIN_POINTS:
        smoothed = tuple(point.change for point in points)
        return RateCurve(None, None, None, _too_few(points, stopped), 0.0, 0.0, smoothed)
    changes = _changes(points)
    # What lies beyond all bounds is no further news, and would drag its neighbours along.
    changes = np.minimum(changes, max(RISE * _loss_before(points), -float(changes.min())))
    smoothed_changes, slopes = smooth(_decades(points), changes)
    least = int(np.argmin(smoothed_changes))
    fall = max(0.0, -float(smoothed_changes[least]))
    scatter = (
        _scatter(_decades(points)[: least + 1], changes[: least + 1]) if least >= LAST else 0.0
    )
    found = (fall, scatter, tuple(float(value) for value in smoothed_changes))
    reason = _objection(points, least, fall, scatter, stopped=stopped, diverged=diverged)
    if reason:
        return RateCurve(None, None, None, reason, *found)
    # From the least point back to where the fall had not begun yet.
    early = np.flatnonzero(smoothed_changes[:least] > -BEGUN * fall)
    begun = int(early[-1]) + 1 if len(early) else 0
    # On the floor behind the fall only noise has slopes.
    over = begun + int(np.argmax(smoothed_changes[begun : least + 1] <= (BEGUN - 1) * fall))
    steepest = begun + int(np.argmin(slopes[begun : over + 1]))
    suggestion, low, high = (
        float(f"{points[index].learning_rate:.1e}") for index in (steepest, begun, least)
    )
    return RateCurve(suggestion, low, high, "", *found)


def _objection(
    points: Sequence[RatePoint],
    least: int,
    fall: float,
    scatter: float,
    *,
    stopped: bool,
    diverged: bool,
) -> str:
    """Return why a curve whose point `least` is lowest tells no rate; empty where it does."""
    first, last = (format_rate(points[index].learning_rate) for index in (0, -1))
    if diverged and least < LAST:
        return say(
            "the loss rose from the lowest rate on, {first}: look at lower ones", first=first
        )
    if fall < FLAT * _loss_before(points):
        if stopped and not diverged:
            return say(
                "the loss had hardly changed yet where the search was stopped, {last}", last=last
            )
        return say(
            "the loss fell by {fall} nats at most, hardly anything: give more text or more tokens "
            "a step, or look at higher rates",
            fall=f"{fall:.2g}",
        )
    if fall < SIGNAL * scatter or least < LAST:
        return say(
            "the loss fell by {fall} nats and its steps scatter by {scatter}: too noisy to tell a "
            "rate, give more tokens a step",
            fall=f"{fall:.2g}",
            scatter=f"{scatter:.2g}",
        )
    if not diverged and least >= len(points) - LAST:
        if stopped:
            return say(
                "the loss was still falling where the search was stopped, {last}: look further",
                last=last,
            )
        return say(
            "the loss was still falling at the highest rate tried, {last}: look further", last=last
        )
    return ""


def smooth(x: Array, y: Array) -> tuple[Array, Array]:
    """Return a smooth curve through some points, and its slope at each.

    At each point that is the line of least squares through those within `HALF_WIDTH` of it (and
    at least two to either side), weighted by (1 − d³)³ of their distance d: local regression,
    Cleveland 1979, doi:10.1080/01621459.1979.10481038.

    Args:
        x: Rising, (n,).
        y: (n,).
    """
    width = max(HALF_WIDTH, 2.5 * float(np.max(np.diff(x))))
    values, slopes = np.empty_like(y), np.empty_like(y)
    for index, centre in enumerate(x):
        distance = np.minimum(np.abs(x - centre) / width, 1.0)
        weight = (1 - distance**3) ** 3
        weight /= weight.sum()
        middle, mean = float(weight @ x), float(weight @ y)
        slope = float(weight @ ((x - middle) * (y - mean))) / float(weight @ (x - middle) ** 2)
        values[index], slopes[index] = mean + slope * (centre - middle), slope
    return values, slopes


def _scatter(x: Array, y: Array) -> float:
    """Return the typical distance of a point from what lies beneath, whatever its shape.

    From how far points lie off the middle of their two neighbours (Gasser, Sroka and
    Jennen-Steinmetz 1986, doi:10.1093/biomet/73.3.625), those of the last decade: where the rate
    is too small to change anything, nothing scatters.
    """
    near = y[-max(SCATTER_POINTS, int(np.count_nonzero(x >= x[-1] - 1.0))) :]
    off = near[1:-1] - (near[:-2] + near[2:]) / 2
    # The scatter grows with the rate: the last of them may tell more than all.
    return max(float(np.sqrt(np.mean(part**2) / 1.5)) for part in (off, off[-LAST:]))


def _too_few(points: Sequence[RatePoint], stopped: bool) -> str:
    if stopped:
        return say_count(
            len(points),
            "stopped after {count} step: too few to tell anything",
            "stopped after {count} steps: too few to tell anything",
        )
    return say_count(
        len(points) + 1,
        "the run came apart within {count} step: look at lower rates, or at the text",
        "the run came apart within {count} steps: look at lower rates, or at the text",
    )


def _changes(points: Sequence[RatePoint]) -> Array:
    return np.array([point.change for point in points])


def _decades(points: Sequence[RatePoint]) -> Array:
    return np.log10([point.learning_rate for point in points])


def _loss_before(points: Sequence[RatePoint]) -> float:
    return float(np.mean([point.loss_before for point in points]))


def format_rate(rate: float) -> str:
    """Return a rate with two digits: 1.2e-3."""
    digits, exponent = f"{rate:.1e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"
