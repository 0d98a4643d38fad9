"""How often to evaluate and to write a sample, so that a run is hardly held up by it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from app.generate.prompts import SAMPLE_TOKENS, prompt_ids, prompt_room
from app.models.loader import Model
from app.plan.beside import SHARE, SampleWork, count_evaluations, count_samples
from app.plan.mode_plan import ModePlan
from app.plan.speed import STEP_EFFICIENCY, Speed
from app.plan.work import forward_flops_per_token
from app.train.evaluate import MAX_TOKENS_TOGETHER

SAMPLE_SHARE = 0.5
"""Of that, what samples may take: the rest is for the figures."""

LEAST_SECONDS = 1.0
"""What they may take of a run however short: nobody waits for that."""

READING_SECONDS = 5.0
"""Longest reading: it holds the run up, and where an adapter is trained on, its first loss too."""

INTERVALS = (8, 9, 10, 7, 6, 5, 4, 3, 2)
"""Into how many parts evaluations cut a run, the best first; the last two only where the device
is so slow that there is time for no more."""

SAMPLE_COUNTS = (3, 4, 5)
FEW_WINDOWS = 4
"""Fewer say little: then rather fewer readings, of more windows."""


def suggest_company(
    model: Model, plan: ModePlan, speed: Speed, pinned: Collection[str] = ()
) -> dict[str, int | None]:
    """Return `eval_every`, `max_eval_tokens` and `sample_every` that suit a run.

    What has no room in the share is 0. The time is that by the probe alone, so that the same run
    is suggested the same again after it was made.

    Args:
        model: What is trained.
        plan: The run; what it asks for of this is not looked at.
        speed: Of the device.
        pinned: Names of settings that are the person's own.
    """
    probed = replace(speed, runs={})
    seconds = probed.estimate(replace(plan.work, beside_flops=0.0, beside_seconds=0.0)).seconds
    cost = _Cost(model, plan, probed)
    affordable = max(SHARE * seconds, LEAST_SECONDS)
    sample_every = cost.sample_every(SAMPLE_SHARE * affordable)
    samples = count_samples(replace(plan.settings.train, sample_every=sample_every), plan.num_steps)
    left = affordable - samples * cost.sample_seconds
    eval_every, num_windows = cost.eval_every(left)
    if "eval_every" in pinned:
        num_windows = cost.longest_reading
    return {
        "eval_every": eval_every,
        "max_eval_tokens": cost.as_tokens(num_windows),
        "sample_every": sample_every,
    }


class _Cost:
    """What a window of an evaluation and a sample cost, by the figures of a step."""

    def __init__(self, model: Model, plan: ModePlan, speed: Speed) -> None:
        dataset, train = plan.dataset, plan.settings.train
        self._plan = plan
        self._windows = dataset.evaluation
        rate = max(speed.gflops, 1e-6) * 1e9 * STEP_EFFICIENCY
        # A forward is less than half of a step's launches, and less than half of its work.
        launches = plan.outline.num_dispatches // 2
        self._seq_len = int(self._windows.lengths.max()) if self._windows is not None else 0
        adapter = plan.outline.num_trained if plan.mode == "adapter" else 0

        def flops(seq_len: int) -> float:
            return forward_flops_per_token(model.config, seq_len, num_adapter_parameters=adapter)

        together = min(train.micro_batch_size, MAX_TOKENS_TOGETHER // max(1, self._seq_len))
        launching = speed.launch_seconds(launches) / max(1, together)
        self._window_seconds = self._seq_len * flops(self._seq_len) / rate + launching
        prompt = len(prompt_ids(model, train.sample_prompt, dataset))
        self._can_write = 0 < prompt <= prompt_room(model)
        sizes = model.device.tuning.prefill_rows
        work = SampleWork.of(prompt, dict.fromkeys(sizes, launches))
        self.sample_seconds = work.num_rows * flops(
            prompt + SAMPLE_TOKENS
        ) / rate + speed.launch_seconds(work.num_dispatches, work.num_passes * model.weights_bytes)

    @property
    def longest_reading(self) -> int:
        """Windows of the longest reading that is suggested."""
        return max(1, int(READING_SECONDS / self._window_seconds)) if self._windows else 1

    def as_tokens(self, num_windows: int) -> int | None:
        """Return a number of windows in tokens; None where it is all there are."""
        if self._windows is None or num_windows >= self._windows.num_windows:
            return None
        return num_windows * self._seq_len

    def sample_every(self, seconds: float) -> int:
        """Return steps between samples so that they take no longer; 0 where that is too few."""
        train, num_steps = self._plan.settings.train, self._plan.num_steps
        found = []
        for parts in SAMPLE_COUNTS:
            every = max(1, num_steps // (parts - 1))
            count = count_samples(replace(train, sample_every=every), num_steps)
            if count in SAMPLE_COUNTS and count * self.sample_seconds <= seconds:
                found.append((-(num_steps % every), count, every))
        # The last one as near to the end as can be, then as many as can be.
        return max(found)[2] if found and self._can_write else 0

    def eval_every(self, seconds: float) -> tuple[int, int]:
        """Return steps between evaluations and windows of each; (0, 1) where that is too dear."""
        if self._windows is None:
            return 0, 1
        train, num_steps = self._plan.settings.train, self._plan.num_steps
        enough = min(FEW_WINDOWS, self._windows.num_windows)
        best = (0, 0)
        for parts in INTERVALS:
            every = -(-num_steps // parts)
            settings = replace(train, eval_every=every)
            count = count_evaluations(settings, num_steps, has_text=True)
            num_windows = min(int(seconds / count / self._window_seconds), self.longest_reading)
            if num_windows >= enough:
                return every, num_windows
            if num_windows > best[1]:
                best = every, num_windows
        return best[0], max(1, best[1])
