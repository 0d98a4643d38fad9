"""Choose settings that fit a device and are fast on it; say what a run with them takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from app.config import TrainConfig
from app.errors import ConfigError
from app.gpu.budget import MemoryBudget
from app.gpu.device import Device
from app.plan.advice import (
    FREE_SETTINGS,
    describe_change,
    memory_advice,
    slow_advice,
)
from app.plan.beside import Beside, count_evaluations, count_samples
from app.plan.coverage import coverage_advice
from app.plan.mode_plan import Advice, ModePlan
from app.plan.modes import Mode, RunSettings
from app.plan.speed import RunShape, RunWork, Speed
from app.plan.work import ModeName
from app.text.dataset import Dataset
from app.train.schedule import count_steps

MIN_WINDOW, WINDOW_MULTIPLE = 16, 8

BATCH = frozenset(("micro_batch_size", "gradient_accumulation_steps"))
RECOMPUTE = frozenset(("gradient_checkpointing",))
REMEDIES: tuple[frozenset[str], ...] = (
    BATCH,
    RECOMPUTE,
    BATCH | RECOMPUTE,
    frozenset(("max_seq_len",)),
    frozenset(("rank",)),
    frozenset(FREE_SETTINGS),
)
"""What to set free where a run does not fit, that which changes least for the person first."""

ALONE = {"eval_every": 0, "early_stop_patience": 0, "sample_every": 0}
"""A run without anything beside its steps."""

LEANER: dict[ModeName, tuple[dict[str, str], ...]] = {
    "adapter": (),
    "full": (
        {"optimizer": "adafactor"},
        {"full_weights": "f16"},
        {"full_weights": "f16", "optimizer": "adafactor"},
        {"full_weights": "int4", "optimizer": "adafactor"},
    ),
}
"""What takes less memory and makes another run of it: looked at where no remedy is enough."""


@dataclass(eq=False)
class Planner:
    """Plans runs of one mode over one corpus.

    Attributes:
        mode: What is trained.
        device: Where.
        cut: Returns the windows of the corpus for some settings.
        speed: What is known of the device's speed.
        kept: Settings that nothing may change: those of an adapter that is trained on.
    """

    mode: Mode
    device: Device
    cut: Callable[[RunSettings], Dataset]
    speed: Speed
    kept: frozenset[str] = frozenset()
    _datasets: dict[tuple[object, ...], Dataset] = field(default_factory=dict)

    def plan(self, wanted: RunSettings, pinned: Collection[str] = ()) -> ModePlan:
        """Lay out the fastest run that fits, as near to the wanted settings as can be.

        Window, windows at once and micro-batches a step are free unless they are pinned; whether
        activations are recomputed is `record_training`'s choice. A larger window is preferred:
        it is what the model learns from. Windows at once make room for micro-batches a step, so
        that a step stays the same step.

        Args:
            wanted: What is suggested, with the person's edits.
            pinned: Names of the settings that must stay.

        Raises:
            ConfigError: settings out of range.
            CorpusError: too little to learn.
        """
        first = self.assess(wanted)
        chosen = self._fitting(wanted, {*pinned, "rank"}) or first
        notes = describe_change(first, chosen)
        return replace(chosen, notes=notes, warnings=self._warnings(chosen))

    def accompanied(self, plan: ModePlan, **values: int | None) -> ModePlan:
        """Return a plan with evaluations and samples, or as it was where they do not fit."""
        if all(plan.settings.value(name) == value for name, value in values.items()):
            return plan
        chosen = self.assess(plan.settings.edited(**values))
        if plan.is_feasible and not chosen.is_feasible:
            return plan
        return replace(chosen, notes=plan.notes, warnings=self._warnings(chosen))

    def _warnings(self, chosen: ModePlan) -> tuple[Advice, ...]:
        warnings = [] if chosen.is_feasible else [self._remedy(chosen)]
        whole = self.assess(chosen.settings.edited(steps=None, epochs=1.0))
        also = (
            coverage_advice(chosen, whole, is_software=self.speed.is_software),
            slow_advice(chosen),
        )
        return (*warnings, *(advice for advice in also if advice is not None))

    def assess(self, settings: RunSettings) -> ModePlan:
        """Lay a run out with exactly these settings. Raises as `plan` does."""
        dataset, train = self._dataset(settings), settings.train
        windows = dataset.train
        outline = self.mode.outline(settings, dataset)
        budget = MemoryBudget.of(self.device, train.device_memory_gb)
        too_large = budget.misfit_buffer(*outline.memory.largest_buffer)
        too_large_beside = budget.misfit_buffer(*outline.beside.largest_buffer)
        count = min(train.micro_batch_size, windows.num_windows)
        accumulation, seq_len = train.gradient_accumulation_steps, int(windows.lengths.max())
        num_steps = count_steps(train, windows.num_windows, count * accumulation)
        work = RunWork(
            RunShape(
                self.mode.name,
                seq_len,
                count,
                accumulation,
                outline.num_trained,
                outline.is_checkpointing,
            ),
            outline.flops_per_token * count * seq_len,
            outline.num_dispatches,
            outline.update_bytes,
            windows.num_windows,
            num_steps,
            *self._beside(
                outline.beside, train, num_steps, has_text=dataset.evaluation is not None
            ),
        )
        return ModePlan(
            self.mode.name,
            settings,
            dataset,
            outline,
            too_large or too_large_beside or budget.misfit_memory(outline.total_bytes),
            bool(too_large),
            num_steps,
            work,
            self.speed.estimate(work),
        )

    def _beside(
        self, beside: Beside, train: TrainConfig, num_steps: int, *, has_text: bool
    ) -> tuple[float, float]:
        """Return work and least time of all evaluations and samples of a run."""
        evaluations = count_evaluations(train, num_steps, has_text=has_text)
        samples = count_samples(train, num_steps)
        return (
            evaluations * beside.evaluation_flops + samples * beside.sample_flops,
            evaluations * self.speed.launch_seconds(beside.evaluation_dispatches)
            + samples
            * self.speed.launch_seconds(beside.sample_dispatches, beside.sample_read_bytes),
        )

    def _fitting(self, wanted: RunSettings, pinned: Collection[str]) -> ModePlan | None:
        """Return the fastest plan that fits, of the largest rank and window where one does."""
        for candidate in self._candidates(wanted, pinned):
            best: ModePlan | None = None
            for settings in _batches(candidate, pinned):
                plan = self.assess(settings)
                if not plan.is_feasible:
                    continue
                if best is None or plan.time.seconds < best.time.seconds:
                    best = plan
                is_settled = settings.train.gradient_checkpointing != "auto"
                if is_settled or not plan.outline.is_checkpointing:
                    break  # smaller ones do the same work in more launches
            if best is not None:
                return best
        return None

    def _candidates(self, wanted: RunSettings, pinned: Collection[str]) -> Iterator[RunSettings]:
        """Yield the wanted ranks and windows, largest first; those that cannot fit are left out."""
        yield wanted
        ranks = [wanted] if "rank" in pinned else list(_ranks(wanted))
        windows = _windows(wanted.train.max_seq_len) if "max_seq_len" not in pinned else []
        if not self._could_fit(ranks[-1], windows[-1:], pinned):
            return
        for window in [wanted.train.max_seq_len, *windows]:
            for ranked in ranks:
                settings = ranked.edited(max_seq_len=window)
                if settings != wanted and self._could_fit(settings, [], pinned):
                    yield settings

    def _could_fit(
        self, settings: RunSettings, windows: Sequence[int], pinned: Collection[str]
    ) -> bool:
        """Whether the smallest batch fits, in the smallest of some windows."""
        smallest = list(_batches(settings, pinned))[-1]
        if windows:
            smallest = smallest.edited(max_seq_len=windows[-1])
        return self.assess(smallest).is_feasible

    def _remedy(self, plan: ModePlan) -> Advice:
        """Return what to change about a plan that does not fit: that which changes least."""
        budget = MemoryBudget.of(self.device, plan.settings.train.device_memory_gb)
        starts = [plan.settings]
        if plan.outline.beside.peak_bytes:
            starts.append(plan.settings.edited(**ALONE))
            alone = self.assess(starts[1])
            if alone.is_feasible:
                return memory_advice(plan, alone, budget)
        found = (self._remedied(start) or self._leaner(start) for start in starts)
        return memory_advice(plan, next(filter(None, found), None), budget)

    def _remedied(self, start: RunSettings) -> ModePlan | None:
        """Return what fits and changes least, by what is set free."""
        for remedy in REMEDIES:
            free = remedy - self.kept
            settings = start
            if "gradient_checkpointing" in free:
                if start.train.gradient_checkpointing == "off":
                    settings = start.edited(gradient_checkpointing="auto")
                elif free <= RECOMPUTE:
                    continue
            fitting = self._fitting(settings, set(FREE_SETTINGS) - free)
            if fitting is not None:
                return fitting
        return None

    def _leaner(self, settings: RunSettings) -> ModePlan | None:
        for changes in LEANER[self.mode.name]:
            with suppress(ConfigError):  # INT4 of a model whose weights are something else
                fitting = self._fitting(settings.edited(**changes), self.kept)
                if fitting is not None:
                    return fitting
        return None

    def _dataset(self, settings: RunSettings) -> Dataset:
        train = settings.train
        key = (train.max_seq_len, train.packing, train.eval_fraction, train.seed)
        if key not in self._datasets:
            self._datasets[key] = self.cut(settings)
        return self._datasets[key]


def preferred(plans: Sequence[ModePlan]) -> ModePlan:
    """Return the fastest plan that fits, or the first where none does."""
    feasible = [plan for plan in plans if plan.is_feasible]
    return min(feasible, key=lambda plan: plan.time.seconds) if feasible else plans[0]


def _batches(settings: RunSettings, pinned: Collection[str]) -> Iterator[RunSettings]:
    """Yield ever fewer windows at once and, unless they are pinned, as many more micro-batches."""
    yield settings
    if "micro_batch_size" in pinned:
        return
    train = settings.train
    size = train.micro_batch_size
    windows = size * train.gradient_accumulation_steps
    while size > 1:
        size //= 2
        accumulation = train.gradient_accumulation_steps
        if "gradient_accumulation_steps" not in pinned:
            accumulation = round(windows / size)
        yield settings.edited(micro_batch_size=size, gradient_accumulation_steps=accumulation)


def _windows(window: int) -> list[int]:
    """Return ever shorter windows, each about half as long."""
    shorter = []
    while window > MIN_WINDOW:
        window = max(window // 2 // WINDOW_MULTIPLE * WINDOW_MULTIPLE, MIN_WINDOW)
        shorter.append(window)
    return shorter


def _ranks(settings: RunSettings) -> Iterator[RunSettings]:
    """Yield ever smaller ranks of the same strength alpha / rank."""
    lora, rank = settings.lora, settings.lora.rank
    yield settings
    while rank > 1:
        rank //= 2
        alpha = lora.alpha * rank / lora.rank
        yield settings.edited(rank=rank, alpha=int(alpha) if alpha == int(alpha) else alpha)
