"""Stopping and pausing a run: prompt, and nothing of what was made is lost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from app.config import TrainConfig
from app.train.control import RunControl
from app.train.records import StepRecord
from app.train.trainer import Trainer
from tests.conftest import run
from tests.nn.engine import Float32Array, Tiny, read_f32
from tests.train.runs import train, windows_of

pytestmark = pytest.mark.gpu

CONFIG = TrainConfig(max_seq_len=12, micro_batch_size=2, learning_rate=1e-2, steps=4)
PAUSE_SECONDS = 0.4


class StopAtPoll(RunControl):
    """Stops when it is asked for the n-th time, be it in the middle of a step."""

    def __init__(self, polls: int) -> None:
        super().__init__()
        self.polls_left = polls

    async def wait_while_paused(self) -> None:
        self.polls_left -= 1
        if self.polls_left < 0:
            self.stop()
        await super().wait_while_paused()


@pytest.fixture(autouse=True)
def _steady_rate(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut submits by dispatches alone, so that polls come where a test counts on them."""
    monkeypatch.setattr("app.gpu.device.MAX_SUBMIT_MS", 1e9)
    monkeypatch.setattr("app.gpu.pacing.MAX_SUBMIT_MS", 1e9)  # nothing is learnt
    monkeypatch.setattr(tiny.device, "flops_per_ms", 1e9)


@pytest.fixture
def small_submits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut a step into many submits, as a large model's is."""
    monkeypatch.setattr("app.gpu.device.MAX_SUBMIT_DISPATCHES", 10)


def parameters_after(tiny: Tiny, num_steps: int) -> Float32Array:
    """Return the parameters of a run that nobody disturbs."""
    adapter = tiny.adapter()
    if num_steps:
        train(tiny, adapter, windows_of(tiny, 70, 12), replace(CONFIG, steps=num_steps))
    values = read_f32(tiny.device, adapter.parameters)
    adapter.destroy()
    return values


@pytest.mark.usefixtures("small_submits")
def test_stopped_anywhere_the_adapter_is_that_of_the_last_update(tiny: Tiny) -> None:
    windows = windows_of(tiny, 70, 12)
    undisturbed = [parameters_after(tiny, steps) for steps in range(4)]
    stopped_after = set()
    for polls in range(0, 27, 3):
        adapter = tiny.adapter()
        made = train(tiny, adapter, windows, CONFIG, control=StopAtPoll(polls))
        assert made.result is not None
        assert made.result.stopped
        assert made.result.steps == len(made.records) < 4
        np.testing.assert_array_equal(
            read_f32(tiny.device, adapter.parameters), undisturbed[len(made.records)]
        )
        stopped_after.add(len(made.records))
        adapter.destroy()
    assert len(stopped_after) >= 3, "the stops fell into too few different steps"


@pytest.mark.usefixtures("small_submits")
def test_run_again_after_a_stop_in_the_middle_of_a_step(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    trainer = Trainer(tiny.model, adapter, windows_of(tiny, 70, 12), CONFIG)

    async def stop_and_run_again() -> tuple[int, int]:
        await trainer.prepare()
        stopped = await trainer.run(lambda record: None, StopAtPoll(5))
        return stopped.steps, (await trainer.run(lambda record: None)).steps

    try:
        assert run(stop_and_run_again()) == (0, 4)
        np.testing.assert_array_equal(
            read_f32(tiny.device, adapter.parameters), parameters_after(tiny, 4)
        )
    finally:
        trainer.destroy()
        adapter.destroy()


def test_a_run_goes_on_from_an_adapter_that_was_stopped(tiny: Tiny) -> None:
    windows = windows_of(tiny, 70, 12)
    adapter = tiny.adapter()
    first = train(tiny, adapter, windows, CONFIG, control=StopAtPoll(5))
    second = train(tiny, adapter, windows, CONFIG)
    assert first.result is not None
    assert first.result.stopped
    assert second.steps == [1, 2, 3, 4]
    assert second.losses[0] < first.losses[0]
    adapter.destroy()


def test_stopped_before_it_began(tiny: Tiny) -> None:
    control = RunControl()
    control.stop()
    adapter = tiny.adapter()
    made = train(tiny, adapter, windows_of(tiny, 70, 12), CONFIG, control=control)
    assert made.records == []
    assert made.result is not None
    assert (made.result.steps, made.result.stopped, made.result.num_tokens) == (0, True, 0)
    assert np.isnan(made.result.final_loss)
    np.testing.assert_array_equal(
        read_f32(tiny.device, adapter.parameters), parameters_after(tiny, 0)
    )
    adapter.destroy()


@pytest.mark.parametrize("is_software", [True, False])
def test_every_step_is_told_before_a_pause_is(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, is_software: bool
) -> None:
    """On a GPU a step is told while the next one runs; in a pause there is none."""
    monkeypatch.setattr(tiny.device, "info", replace(tiny.device.info, is_software=is_software))
    told: list[tuple[bool, list[int]]] = []
    records: list[StepRecord] = []

    def on_held() -> None:
        told.append((control.held, [record.step for record in records]))
        control.resume()

    def on_step(record: StepRecord) -> None:
        records.append(record)
        if record.step == 2:
            control.pause()

    control = RunControl(on_held)
    adapter = tiny.adapter()
    trainer = Trainer(tiny.model, adapter, windows_of(tiny, 70, 12), CONFIG)

    async def drive() -> None:
        await trainer.prepare()
        await trainer.run(on_step, control)

    run(drive())
    made = [1, 2] if is_software else [1, 2, 3]
    assert told == [(True, made)]
    assert not control.held
    assert [record.step for record in records] == [1, 2, 3, 4]
    trainer.destroy()
    adapter.destroy()


@pytest.mark.parametrize("is_mid_step", [False, True])
def test_a_pause_holds_the_run_and_changes_no_number(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, is_mid_step: bool
) -> None:
    windows = windows_of(tiny, 70, 12)
    adapter = tiny.adapter()
    expected = train(tiny, adapter, windows, CONFIG)
    adapter.destroy()
    if is_mid_step:
        monkeypatch.setattr("app.gpu.device.MAX_SUBMIT_DISPATCHES", 10)

    class PauseAtPoll(StopAtPoll):
        async def wait_while_paused(self) -> None:
            self.polls_left -= 1
            if self.polls_left == 0:
                self.pause()
                paused.set()
            await RunControl.wait_while_paused(self)

    paused = asyncio.Event()
    records: list[StepRecord] = []
    during: list[int] = []

    async def drive(trainer: Trainer, control: RunControl) -> None:
        async def person() -> None:
            await paused.wait()
            during.append(len(records))
            await asyncio.sleep(PAUSE_SECONDS)
            during.append(len(records))
            assert control.paused
            control.resume()

        await trainer.prepare()
        start = time.perf_counter()
        result, _ = await asyncio.gather(trainer.run(records.append, control), person())
        without_pause = time.perf_counter() - start - control.paused_seconds
        assert not result.stopped
        assert result.seconds <= without_pause
        assert sum(record.seconds for record in records) <= without_pause

    adapter = tiny.adapter()
    trainer = Trainer(tiny.model, adapter, windows, CONFIG)
    control = PauseAtPoll(13 if is_mid_step else 3)
    run(drive(trainer, control))
    assert during[0] == during[1], "a step was reported while the run was paused"
    assert 0 < during[0] < 4
    assert control.paused_seconds >= 0.9 * PAUSE_SECONDS
    assert [record.loss for record in records] == expected.losses
    trainer.destroy()
    adapter.destroy()


def test_stop_ends_a_pause(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    trainer = Trainer(tiny.model, adapter, windows_of(tiny, 70, 12), CONFIG)
    control = RunControl()
    records: list[StepRecord] = []

    def on_step(record: StepRecord) -> None:
        records.append(record)
        if record.step == 2:
            control.pause()

    async def drive() -> None:
        async def person() -> None:
            while not control.paused:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            control.stop()

        await trainer.prepare()
        result, _ = await asyncio.gather(trainer.run(on_step, control), person())
        assert result.stopped
        assert result.steps == 2

    run(drive())
    trainer.destroy()
    np.testing.assert_array_equal(
        read_f32(tiny.device, adapter.parameters), parameters_after(tiny, 2)
    )
    adapter.destroy()


def test_every_update_changes_the_version(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    versions = [adapter.version]
    train(
        tiny,
        adapter,
        windows_of(tiny, 70, 12),
        CONFIG,
        on_step=lambda record: versions.append(adapter.version),
    )
    assert len(set(versions)) == 5
    adapter.destroy()
