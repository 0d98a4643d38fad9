"""Tuning: what is wrong is excluded, what is slow loses, time and wishes are respected."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from app.errors import DeviceLostError, GpuError, ShapeError
from app.gpu import kernels
from app.gpu.device import Device
from app.gpu.graph import Graph
from app.gpu.kernels import read_wgsl
from app.gpu.tuning import SOFTWARE, Tuning, choose, default_tuning
from app.models.random import random_model
from app.plan import autotune, tuning_space
from app.plan.autotune import autotune_figures, tune
from app.plan.tuning_race import DeviceStand, Pace, Race
from app.plan.tuning_report import TuningReport
from app.plan.tuning_space import Candidate, Operation, operations_of
from app.plan.tuning_work import Work, Workload
from tests.conftest import run
from tests.plan.shapes import TINY

RUN_SECONDS = (0.01, 0.1)


@dataclass
class Pretended:
    """A candidate's true time, and what is wrong with it."""

    seconds: float = 0.01
    wrong: str = ""
    error: Exception | None = None
    compile_error: Exception | None = None


@dataclass
class PretendedStand:
    """Answers as the candidates' table says; counts the seconds that would have passed."""

    table: dict[int, Pretended]
    now: float = 0.0
    compiled: list[int] = field(default_factory=list)
    runs: dict[int, int] = field(default_factory=dict)
    paces: list[Pace] = field(default_factory=list)
    calmed: int = 0

    async def calm(self) -> None:
        self.calmed += 1

    async def compile(self, operation: Operation, tunings: Sequence[Tuning]) -> None:
        self.compiled += [tuning.norm_lanes for tuning in tunings]
        for tuning in tunings:
            error = self.table[tuning.norm_lanes].compile_error
            if error is not None:
                raise error

    async def check(self, operation: Operation, tuning: Tuning) -> str:
        pretended = self.table[tuning.norm_lanes]
        if pretended.error or pretended.compile_error:
            raise pretended.error or pretended.compile_error  # type: ignore[misc]
        return pretended.wrong

    async def measure(
        self,
        operation: Operation,
        tuning: Tuning,
        pace: Pace,
        runs: int,
        limit_seconds: float = math.inf,
    ) -> list[float]:
        lanes = tuning.norm_lanes
        seconds = self.table[lanes].seconds * pace.scale
        runs = 1 if seconds > limit_seconds else runs
        self.runs[lanes] = self.runs.get(lanes, 0) + runs
        self.paces.append(pace)
        self.now += seconds * runs * pace.copies
        return [seconds] * runs


def race(
    stand: PretendedStand, is_over: Callable[[], bool] = lambda: False, tuning: Tuning = SOFTWARE
) -> Race:
    candidates = tuple(Candidate((("norm_lanes", lanes),)) for lanes in stand.table)
    operation = Operation("norm", candidates, (), 1.0, lambda tuning, scale: Workload(Graph("no")))
    return Race(operation, tuning, stand, RUN_SECONDS, is_over)


def times(*seconds: float) -> dict[int, Pretended]:
    return {lanes: Pretended(value) for lanes, value in enumerate(seconds, 1)}


def test_the_fastest_wins() -> None:
    for order in itertools.permutations((0.01, 0.02, 0.03, 0.04)):
        found = race(PretendedStand(times(*order)))
        assert run(found.run()).values == (("norm_lanes", order.index(0.01) + 1),)


def test_a_wrong_one_is_excluded_however_fast() -> None:
    stand = PretendedStand(times(0.01, 0.001, 0.008))
    stand.table[2].wrong = "y of launch 1 is off by 3"
    found = race(stand)
    assert run(found.run()).label == "norm_lanes=3"
    assert 2 not in stand.runs, "it was timed before it was known to be right"
    assert found.report(0.0).excluded == {"norm_lanes=2": "y of launch 1 is off by 3"}


@pytest.mark.parametrize("error", [GpuError("kernel x: no"), ShapeError("too wide")])
def test_one_that_fails_is_excluded_and_the_rest_goes_on(error: Exception) -> None:
    stand = PretendedStand(times(0.01, 0.001, 0.008, 0.007))
    stand.table[2].compile_error = error
    stand.table[3].error = error
    found = race(stand)
    assert run(found.run()).label == "norm_lanes=4"
    assert list(found.report(0.0).excluded.values()) == [str(error)] * 2
    assert stand.calmed == 3, "one may be blamed for another's mistake"


def test_a_lost_device_ends_it() -> None:
    stand = PretendedStand(times(0.01, 0.001))
    stand.table[2].error = DeviceLostError("gone")
    with pytest.raises(DeviceLostError):
        run(race(stand).run())


def test_the_prior_may_be_the_wrong_one() -> None:
    stand = PretendedStand(times(0.01, 0.03, 0.02))
    stand.table[1].wrong = "wrong"
    assert run(race(stand).run()).label == "norm_lanes=3"
    for pretended in stand.table.values():
        pretended.wrong = "wrong"
    assert run(race(stand).run()).label == "norm_lanes=1"


def test_the_prior_stays_where_there_is_little_to_win() -> None:
    assert run(race(PretendedStand(times(0.01, 0.0099))).run()).label == "norm_lanes=1"
    assert run(race(PretendedStand(times(0.01, 0.0095))).run()).label == "norm_lanes=2"


def test_better_candidates_get_more_runs_and_slow_ones_one() -> None:
    stand = PretendedStand(times(0.010, 0.011, 0.012, 0.013, 0.014, 0.015, 0.016, 0.09))
    run(race(stand).run())
    calibrating = 1
    assert stand.runs == {1: 1 + 2 + 4 + calibrating, 2: 7, 3: 3, 4: 3, 5: 1, 6: 1, 7: 1, 8: 1}


def test_the_deadline_is_kept_between_candidates() -> None:
    stand = PretendedStand(times(0.05, 0.04, 0.03, 0.02))
    found = race(stand, lambda: stand.now > 0.12)
    assert run(found.run()).label == "norm_lanes=2"
    report = found.report(0.0)
    assert report.skipped == ("norm_lanes=3", "norm_lanes=4")
    assert list(report.times) == ["norm_lanes=2", "norm_lanes=1"]


def test_without_any_time_the_prior_stays() -> None:
    stand = PretendedStand(times(0.05, 0.04))
    found = race(stand, lambda: True)
    assert run(found.run()).label == "norm_lanes=1"
    assert not stand.runs
    assert not stand.compiled
    assert found.report(0.0).skipped == ("norm_lanes=1", "norm_lanes=2")


def test_short_work_is_repeated_and_long_work_made_smaller() -> None:
    for seconds, expected in ((0.001, Pace(1.0, 10)), (1e-9, Pace(1.0, 64)), (0.4, Pace(0.25, 1))):
        stand = PretendedStand(times(seconds, seconds))
        run(race(stand).run())
        assert stand.paces[-1] == expected


def model_operations(device: Device) -> tuple[Work, list[Operation]]:
    work = Work(random_model(device, TINY))
    return work, operations_of(work, default_tuning(device.info))


@pytest.mark.gpu
def test_every_class_starts_from_the_prior_and_has_something_to_time(device: Device) -> None:
    before = device.allocated_bytes
    prior = default_tuning(device.info)
    work, operations = model_operations(device)
    assert sum(operation.share for operation in operations) == pytest.approx(1.0)
    try:
        for operation in operations:
            labels = [candidate.label for candidate in operation.candidates]
            assert len(set(labels)) == len(labels)
            assert operation.candidates[0].apply(prior) == prior
            assert operation.candidate(labels[-1]) == operation.candidates[-1]
            for candidate in operation.candidates:
                assert operation.record(candidate.apply(prior), 1.0).graph.nodes
    finally:
        work.destroy()
        work.model.destroy()
    assert device.allocated_bytes == before


@pytest.mark.gpu
def test_a_class_is_timed_by_what_its_choice_changes(device: Device) -> None:
    work, operations = model_operations(device)
    prior = default_tuning(device.info)
    named = {operation.name: operation for operation in operations}
    try:
        for name, kernel in (
            ("forward", "linear"),
            ("backward", "linear_backward"),
            ("attention_key", "attention_backward_key"),
            ("gradient", "lora_gradient"),
        ):
            nodes = named[name].record(prior, 1.0).graph.nodes
            assert nodes
            assert all(node.kernel.name.startswith(kernel) for node in nodes)
    finally:
        work.destroy()
        work.model.destroy()


def only(*names: str) -> Callable[[Work, Tuning], list[Operation]]:
    def few(work: Work, prior: Tuning) -> list[Operation]:
        return [item for item in operations_of(work, prior) if item.name in names]

    return few


@pytest.mark.gpu
def test_a_device_is_tuned(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide, broken = (
        choose("linear_vector", "chunk_direct", LANES=lanes, SLICES=slices)
        for lanes, slices in ((8, 4), (16, 4), (8, 1 << 16))
    )
    monkeypatch.setattr(tuning_space, "vector_choices", lambda *_: [narrow, broken, wide])
    monkeypatch.setattr(autotune, "operations_of", only("vector"))
    before, kept = device.allocated_bytes, device.tuning
    model = random_model(device, TINY)
    told: list[tuple[str, float]] = []
    try:
        report = run(
            tune(model, budget_seconds=60, on_progress=lambda *told_now: told.append(told_now))
        )
    finally:
        model.destroy()
    assert told == [("vector", 0.0)]
    assert device.tuning is kept
    assert device.allocated_bytes == before
    (found,) = report.operations
    assert set(found.times) == {found.prior, narrow.label, wide.label}
    assert found.pick in found.times
    assert list(found.excluded) == [broken.label]
    assert "linear_vector" in found.excluded[broken.label]
    assert TuningReport.from_json(report.to_json()) == report


@pytest.mark.gpu
def test_a_kernel_that_computes_something_else_is_found_out(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def miscompiled(name: str) -> str:
        return read_wgsl(name).replace("params.eps", "(params.eps + 1e-3)")

    work, operations = model_operations(device)
    norm = next(operation for operation in operations if operation.name == "norm")
    stand, prior = DeviceStand(device), default_tuning(device.info)
    try:
        assert run(stand.check(norm, prior)) == ""
        monkeypatch.setattr(kernels, "read_wgsl", miscompiled)
        assert "y of launch 1 is off by" in run(stand.check(norm, prior))
    finally:
        work.model.destroy()


@pytest.mark.gpu
def test_a_stopped_tuning_says_so(device: Device) -> None:
    model = random_model(device, TINY)
    try:
        report = run(tune(model, should_stop=lambda: True))
    finally:
        model.destroy()
    assert report.was_stopped
    assert all(found.pick == found.prior for found in report.operations)


@pytest.mark.gpu
def test_figures_compare_with_the_best(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "operations_of", only("norm", "hidden"))
    model = random_model(device, TINY)

    async def collect() -> list[dict[str, object]]:
        return [figure async for figure in autotune_figures(model)]

    try:
        *figures, total = run(collect())
    finally:
        model.destroy()
    assert [figure["operation"] for figure in figures] == ["hidden", "norm"]
    for figure in figures:
        assert figure["bench"] == "autotune"
        assert float(str(figure["pick_over_best"])) >= 1
        assert float(str(figure["prior_over_best"])) >= 1
        assert int(str(figure["candidates"])) > 1
    assert total["bench"] == "autotune_total"
    assert float(str(total["seconds"])) > 0
