"""Finding a learning rate: a short run whose rate rises until the loss does.

The rate grows by the same factor each step (range test, arXiv:1506.01186 §3.3). Windows differ far
more in their loss than a few updates change any of them, so each step's loss is set against what
the same windows cost before the first update: that difference starts at zero, falls where the
rate is large enough to learn, and rises where the run comes apart. Suggested is the rate at which
it falls steepest over the logarithm of the rate. All of it happens on a copy of the adapter, or
of all weights where those are to be trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.config import TrainConfig, is_number, is_whole
from app.errors import ConfigError, TrainingDivergedError
from app.messages import say
from app.models.loader import Model, free_own_weights
from app.nn.adapter import Adapter
from app.text.windows import Windows
from app.train.control import RunControl
from app.train.evaluate import evaluate
from app.train.full.trainer import FullTrainer
from app.train.loop import RunLoop
from app.train.rate_curve import RateCurve, RatePoint, is_coming_apart, read_curve
from app.train.records import StepRecord
from app.train.trainer import Trainer

MIN_STEPS, MAX_STEPS = 20, 1000
MAX_RATE = 10.0


@dataclass(frozen=True)
class SearchConfig:
    """How far and how finely to look; else a search has the settings of the run it is for."""

    steps: int = 40
    lowest_rate: float = 1e-5
    highest_rate: float = 1.0

    def check(self) -> SearchConfig:
        """Return self. Raises ConfigError that lists all that is out of range."""
        low, high = self.lowest_rate, self.highest_rate
        problems = []
        if not is_whole(self.steps, MIN_STEPS, MAX_STEPS):
            problems.append(
                say(
                    "search_steps is {steps}: give a whole number from {min_steps} to {max_steps}",
                    steps=f"{self.steps!r}",
                    min_steps=MIN_STEPS,
                    max_steps=MAX_STEPS,
                )
            )
        for name, rate in (("lowest_rate", low), ("highest_rate", high)):
            if not is_number(rate, 0, MAX_RATE) or not rate:
                problems.append(
                    say(
                        "{name} is {rate}: give a number above 0, up to {max_rate}",
                        name=name,
                        rate=f"{rate!r}",
                        max_rate=f"{MAX_RATE:g}",
                    )
                )
        if not problems and high < 10 * low:
            problems.append(
                say(
                    "highest_rate is {high} and lowest_rate {low}: give one at least ten times "
                    "the other",
                    high=f"{high:g}",
                    low=f"{low:g}",
                )
            )
        if problems:
            raise ConfigError(*problems)
        return self

    def rate_at(self, step: int) -> float:
        """Return the rate of a step, from 1: low · (high / low)^((step − 1) / (steps − 1))."""
        ratio = math.log(self.highest_rate / self.lowest_rate)
        return self.lowest_rate * math.exp(ratio * (step - 1) / (self.steps - 1))


@dataclass(frozen=True)
class RateSearch:
    """What was found.

    Attributes:
        points: One a step, in order.
        curve: What they come to; its `suggestion` is None where there is nothing to suggest.
        stopped: The person ended the search.
        diverged: The loss had risen so far that the search ended before its highest rate.
    """

    points: tuple[RatePoint, ...]
    curve: RateCurve
    stopped: bool
    diverged: bool


def settings_of_search(config: TrainConfig, search: SearchConfig) -> TrainConfig:
    """Return the settings of a run, but for what so short a one has no use for."""
    return replace(
        config, steps=search.steps, warmup_steps=0, schedule="constant", rank_schedule="fixed"
    )


async def find_learning_rate(
    model: Model,
    adapter: Adapter | None,
    windows: Windows,
    config: TrainConfig,
    search: SearchConfig | None = None,
    control: RunControl | None = None,
    *,
    on_progress: Callable[[str, float], None] | None = None,
    on_point: Callable[[RatePoint], None] | None = None,
) -> RateSearch:
    """Search; same arguments, same numbers. Model and adapter are read and nothing else.

    Args:
        model: Base.
        adapter: What the run would start from; None where it would train all weights: then a copy
            of them takes the room that the run would take, beside the model itself.
        windows: What the run would learn from; the search sees the first of them.
        config: Settings of the run.
        search: How far and how finely to look.
        control: To stop from elsewhere; what was measured until then is read all the same.
        on_progress: Called with what is being done before the first step and the share of it.
        on_point: Called after each step.

    Raises:
        ConfigError: settings out of range.
        OutOfGpuMemoryError: the run does not fit the device.
    """
    search = (search or SearchConfig()).check()
    control = control or RunControl()
    settings = settings_of_search(config, search)
    copy = None if adapter is None else Adapter(model.config, model.device, adapter.lora)
    tuned = replace(model, version=0)
    trainer: RunLoop | None = None
    try:
        if adapter is not None and copy is not None:
            copy.load(await adapter.tensors())
            trainer = Trainer(model, copy, windows, settings)
        else:
            trainer = FullTrainer(tuned, windows, settings, keeps_base=True)
        before = await _losses_before(model, adapter, windows, trainer, control, on_progress)
        watch = _Watch(before, on_point)
        if not control.stopped:
            await trainer.prepare(on_progress)
            trainer.learning_rate_at = search.rate_at
            try:
                await trainer.run(watch.take, control, watch)
            except TrainingDivergedError:  # pragma: no cover - the watch ends the run before
                watch.has_come_apart = True
    finally:
        if trainer is not None:
            trainer.destroy()
        if copy is not None:
            copy.destroy()
        free_own_weights(tuned, model)
    points = tuple(watch.points)
    curve = read_curve(points, stopped=control.stopped, diverged=watch.has_come_apart)
    return RateSearch(points, curve, control.stopped, watch.has_come_apart)


async def _losses_before(
    model: Model,
    adapter: Adapter | None,
    windows: Windows,
    trainer: RunLoop,
    control: RunControl,
    on_progress: Callable[[str, float], None] | None,
) -> list[float]:
    """Return what the windows of each step cost untrained; nothing where it was stopped."""
    epoch = trainer.steps_of_epoch()
    steps = [epoch[index % len(epoch)] for index in range(trainer.num_steps)]
    visited = np.unique(np.concatenate(steps))
    costs = np.zeros(windows.num_windows)

    def on_window(index: int, losses: NDArray[np.float32]) -> None:
        costs[visited[index]] = losses.sum(dtype=np.float64)

    result = await evaluate(
        model,
        adapter,
        windows.subset([int(index) for index in visited]),
        control,
        lambda part: on_progress(say("reading"), part) if on_progress else None,
        on_window=on_window,
    )
    if result is None:
        return []
    return [float(costs[step].sum() / windows.predicted[step].sum()) for step in steps]


class _Watch:
    """Gathers the points and says when to end."""

    def __init__(
        self, before: list[float], on_point: Callable[[RatePoint], None] | None = None
    ) -> None:
        self._before = before
        self._on_point = on_point
        self.points: list[RatePoint] = []
        self.has_come_apart = False

    def take(self, record: StepRecord) -> None:
        """Add a step; one that was skipped has no loss to show."""
        if record.skipped:
            self.has_come_apart = True
            return
        point = RatePoint(
            record.step,
            record.learning_rate,
            record.loss,
            self._before[record.step - 1],
            record.num_tokens,
            record.seconds,
        )
        self.points.append(point)
        if self._on_point is not None:
            self._on_point(point)

    def is_due(self, step: int) -> bool:
        """Look after every step."""
        return True

    async def visit(self, step: int) -> bool:
        """End where the loss has risen far above where it was, or is no number any more."""
        self.has_come_apart = self.has_come_apart or is_coming_apart(self.points)
        return not self.has_come_apart
