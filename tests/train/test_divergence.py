"""Losses that are not finite: skipped, counted, and after three in a row the run ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.config import TrainConfig
from app.errors import TrainingDivergedError
from app.nn.adapter import Adapter
from app.train.records import StepRecord
from tests.nn.engine import Float32Array, Tiny, read_f32
from tests.tiny_model import run_now
from tests.train.runs import OnStep, Run, train, windows_of

pytestmark = pytest.mark.gpu

CONFIG = TrainConfig(max_seq_len=12, micro_batch_size=1, learning_rate=1e-2, steps=9)
SPOILED = 5
"""An element of the first A: an infinity there reaches every later value."""


def parameters_after(tiny: Tiny, num_steps: int) -> Float32Array:
    adapter = tiny.adapter()
    if num_steps:
        train(tiny, adapter, windows_of(tiny, 12 * 9, 12), replace(CONFIG, steps=num_steps))
    values = read_f32(tiny.device, adapter.parameters)
    adapter.destroy()
    return values


def spoil(tiny: Tiny, adapter: Adapter, value: float) -> float:
    """Overwrite one parameter and return what it was."""
    flat = adapter.parameters
    # Called inside the run's event loop; natively a read never waits for the loop.
    data = run_now(tiny.device.read(flat.storage.buffer, 4 * SPOILED, 4))
    before = float(np.frombuffer(data, np.float32)[0])
    tiny.device.write(flat.storage.buffer, 4 * SPOILED, np.array([value], np.float32))
    return before


def spoiled_after(step: int, tiny: Tiny, adapter: Adapter, value: float) -> OnStep:
    def on_step(record: StepRecord) -> None:
        if record.step == step:
            spoil(tiny, adapter, value)

    return on_step


@pytest.mark.parametrize("value", [np.inf, np.nan, 3e38], ids=str)
def test_three_in_a_row_end_the_run_with_the_last_good_adapter(tiny: Tiny, value: float) -> None:
    adapter = tiny.adapter()
    made = Run()
    on_step = spoiled_after(3, tiny, adapter, value)
    windows = windows_of(tiny, 12 * 9, 12)
    with pytest.raises(TrainingDivergedError, match=r"3 steps in a row.*step 6.*learning rate"):
        train(tiny, adapter, windows, CONFIG, on_step=on_step, into=made)
    assert made.steps == [1, 2, 3, 4, 5, 6]
    assert [record.skipped for record in made.records] == [False] * 3 + [True] * 3
    assert np.isfinite(made.losses[:3]).all()
    bad = [record for record in made.records if record.skipped]
    assert not any(np.isfinite(record.loss) and np.isfinite(record.grad_norm) for record in bad)
    # The last parameters known to give a finite loss are those that step 3 started from.
    np.testing.assert_array_equal(
        read_f32(tiny.device, adapter.parameters), parameters_after(tiny, 2)
    )
    adapter.destroy()


def test_a_gpu_notices_a_step_later_and_keeps_a_good_adapter_too(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny.device, "info", replace(tiny.device.info, is_software=False))
    adapter = tiny.adapter()
    made = Run()
    on_step = spoiled_after(3, tiny, adapter, np.inf)
    with pytest.raises(TrainingDivergedError):
        train(tiny, adapter, windows_of(tiny, 12 * 9, 12), CONFIG, on_step=on_step, into=made)
    # Step 4 was already submitted when step 3 was reported.
    assert [record.skipped for record in made.records] == [False] * 4 + [True] * 3
    np.testing.assert_array_equal(
        read_f32(tiny.device, adapter.parameters), parameters_after(tiny, 3)
    )
    adapter.destroy()


@pytest.mark.parametrize("num_bad", [1, 2])
def test_fewer_are_skipped_and_counted_and_the_run_goes_on(tiny: Tiny, num_bad: int) -> None:
    windows = windows_of(tiny, 12 * 9, 12)
    adapter = tiny.adapter()
    kept: list[float] = []

    def on_step(record: StepRecord) -> None:
        if record.step == 3:
            kept.append(spoil(tiny, adapter, np.inf))
        elif record.step == 3 + num_bad:
            spoil(tiny, adapter, kept[0])

    made = train(tiny, adapter, windows, CONFIG, on_step=on_step)
    flags = [record.skipped for record in made.records]
    assert flags == [False] * 3 + [True] * num_bad + [False] * (6 - num_bad)
    assert made.result is not None
    assert made.result.num_skipped == num_bad
    assert made.result.steps == 9
    after = read_f32(tiny.device, adapter.parameters)
    adapter.destroy()
    # As if the skipped windows had never been there: nothing of them is left in the moments.
    order = [index for index in range(9) if not flags[index]]
    adapter = tiny.adapter()
    without = train(tiny, adapter, windows.subset(order), replace(CONFIG, steps=len(order)))
    assert without.losses == [record.loss for record in made.records if not record.skipped]
    np.testing.assert_array_equal(read_f32(tiny.device, adapter.parameters), after)
    adapter.destroy()


def test_an_interrupted_row_of_bad_steps_does_not_end_the_run(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    kept: list[float] = []

    def on_step(record: StepRecord) -> None:
        if record.step in (2, 5):
            kept.append(spoil(tiny, adapter, np.nan))
        elif record.step in (4, 7):
            spoil(tiny, adapter, kept[-1])

    made = train(tiny, adapter, windows_of(tiny, 12 * 9, 12), CONFIG, on_step=on_step)
    flags = [record.skipped for record in made.records]
    assert flags == [False, False, True, True, False, True, True, False, False]
    assert made.result is not None
    assert made.result.num_skipped == 4
    adapter.destroy()


@pytest.mark.parametrize("is_software", [True, False])
def test_a_bad_end_keeps_the_last_good_adapter(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, is_software: bool
) -> None:
    monkeypatch.setattr(tiny.device, "info", replace(tiny.device.info, is_software=is_software))
    adapter = tiny.adapter()
    on_step = spoiled_after(7 if is_software else 6, tiny, adapter, np.inf)
    made = train(tiny, adapter, windows_of(tiny, 12 * 9, 12), CONFIG, on_step=on_step)
    assert made.result is not None
    assert made.result.num_skipped == 2
    np.testing.assert_array_equal(
        read_f32(tiny.device, adapter.parameters), parameters_after(tiny, 6)
    )
    adapter.destroy()


@pytest.mark.parametrize("is_software", [True, False])
def test_the_third_bad_step_may_be_the_last_of_the_run(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, is_software: bool
) -> None:
    monkeypatch.setattr(tiny.device, "info", replace(tiny.device.info, is_software=is_software))
    adapter = tiny.adapter()
    on_step = spoiled_after(6 if is_software else 5, tiny, adapter, np.inf)
    made = Run()
    with pytest.raises(TrainingDivergedError, match="last: step 9"):
        train(tiny, adapter, windows_of(tiny, 12 * 9, 12), CONFIG, on_step=on_step, into=made)
    assert made.steps == list(range(1, 10))
    adapter.destroy()


def test_a_learning_rate_that_is_far_too_large_leaves_finite_parameters(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    made = Run()
    config = replace(CONFIG, learning_rate=10.0, max_grad_norm=0.0, steps=12)
    try:
        train(tiny, adapter, windows_of(tiny, 12 * 9, 12), config, into=made)
    except TrainingDivergedError:
        assert [record.skipped for record in made.records[-3:]] == [True] * 3
    assert max(made.losses[1:], default=np.inf) > made.losses[0]
    assert np.isfinite(read_f32(tiny.device, adapter.parameters)).all()
    adapter.destroy()
