"""Reading the curve of a search for a learning rate: where it falls, where it comes apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HALF_WIDTH = 0.4
"""Decades to either side that smoothing looks at."""

LAST = 3
"""Steps whose mean decides whether the run is coming apart."""

RISE = 0.1
"""Share of the loss that a rise has to reach for it, unless the loss had fallen by more."""

FLAT = 0.002
"""Share of the loss that it has to fall by at least."""

SIGNAL = 2.0
"""How many times the scatter of a step it has to fall by at least."""

BEGUN = 0.1
"""Share of the whole fall from which on a rate is called useful."""

MIN_POINTS = 6


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
        low: Rate from which on the loss falls; None without a suggestion.
        high: Rate at which it is least.
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

    Their mean is then above where it began: by a tenth of the loss, and by as much as the least
    such mean was below.
    """
    if len(points) < MIN_POINTS:
        return False
    changes = _changes(points)
    means = np.convolve(changes, np.full(LAST, 1 / LAST), "valid")
    return bool(means[-1] > _ceiling(points, float(means.min())))


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
    changes = np.minimum(changes, _ceiling(points, float(changes.min())))
    smoothed_changes, slopes = smooth(_decades(points), changes)
    least = int(np.argmin(smoothed_changes))
    fall = max(0.0, -float(smoothed_changes[least]))
    rest = changes[: least + 1] - smoothed_changes[: least + 1]
    scatter = float(np.sqrt(np.mean(rest**2)))
    loss = float(np.mean([point.loss_before for point in points]))
    last, best = points[-1].learning_rate, points[least].learning_rate
    reason = ""
    if fall < FLAT * loss:
        reason = (
            f"the loss fell by {fall:.2g} nats at most, hardly anything: give more text or more "
            "tokens a step, or look at higher rates"
        )
        if diverged and least < LAST:
            reason = (
                f"the loss rose from the lowest rate on, {points[0].learning_rate:.1e}: look at "
                "lower ones"
            )
    elif fall < SIGNAL * scatter:
        reason = (
            f"the loss fell by {fall:.2g} nats and its steps scatter by {scatter:.2g}: too noisy "
            "to tell a rate, give more tokens a step"
        )
    elif not diverged and least >= len(points) - LAST:
        ended = "where it was stopped" if stopped else "at the highest rate tried"
        reason = f"the loss was still falling {ended}, {last:.1e}: look further"
    found = (fall, scatter, tuple(float(value) for value in smoothed_changes))
    if reason:
        return RateCurve(None, None, None, reason, *found)
    steepest = int(np.argmin(slopes[: least + 1]))
    has_begun = smoothed_changes[: steepest + 1] <= -BEGUN * fall
    # From the steepest point back to where the fall has not begun yet.
    late = np.flatnonzero(~has_begun)
    first = int(late[-1]) + 1 if len(late) else 0
    low = points[min(first, steepest)].learning_rate
    return RateCurve(_rounded(points[steepest].learning_rate), low, best, "", *found)


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


def _too_few(points: Sequence[RatePoint], stopped: bool) -> str:
    if stopped:
        return f"stopped after {len(points)} steps: too few to tell anything"
    return (
        f"the run came apart within {len(points) + 1} steps: look at lower rates, or at the text"
    )


def _changes(points: Sequence[RatePoint]) -> Array:
    return np.array([point.change for point in points])


def _decades(points: Sequence[RatePoint]) -> Array:
    return np.log10([point.learning_rate for point in points])


def _ceiling(points: Sequence[RatePoint], least: float) -> float:
    """Return the change above which nothing good is to be expected any more."""
    loss = float(np.mean([point.loss_before for point in points]))
    return max(RISE * loss, -least)


def _rounded(rate: float) -> float:
    return float(f"{rate:.1e}")
