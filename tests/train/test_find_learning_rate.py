"""The search for a learning rate: what it measures, and that it leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import ConfigError
from app.nn.adapter import Adapter
from app.train.control import RunControl
from app.train.evaluate import evaluate
from app.train.find_learning_rate import (
    RateSearch,
    SearchConfig,
    find_learning_rate,
    settings_of_search,
)
from app.train.rate_curve import RatePoint
from app.train.trainer import Trainer
from tests.conftest import run
from tests.nn.engine import Tiny, read_f32
from tests.train.runs import train, windows_of

CONFIG = TrainConfig(max_seq_len=12, micro_batch_size=2, steps=6, learning_rate=1e-2)


def search_with(tiny: Tiny, adapter: Adapter, config: TrainConfig = CONFIG) -> RateSearch:
    windows = windows_of(tiny, 90, 12)
    return run(find_learning_rate(tiny.model, adapter, windows, config))


def test_the_rate_rises_by_one_factor() -> None:
    search = SearchConfig(steps=25, lowest_rate=1e-6, highest_rate=0.1)
    rates = [search.rate_at(step) for step in range(1, 26)]
    assert rates[0] == 1e-6
    assert rates[-1] == pytest.approx(0.1, rel=1e-12)
    ratios = np.array(rates[1:]) / np.array(rates[:-1])
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-12)


def test_settings_of_a_search() -> None:
    asked = replace(CONFIG, schedule="cosine", warmup_steps=9, rank_schedule="adaptive", seed=3)
    found = settings_of_search(asked, SearchConfig(steps=30))
    assert (found.steps, found.warmup_steps, found.schedule) == (30, 0, "constant")
    assert (found.rank_schedule, found.seed) == ("fixed", 3)


def test_all_that_is_out_of_range_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        SearchConfig(steps=3, lowest_rate=0, highest_rate=11).check()
    assert len(refused.value.problems) == 3
    with pytest.raises(ConfigError, match="at least ten times"):
        SearchConfig(lowest_rate=1e-2, highest_rate=1e-3).check()


@pytest.mark.gpu
@pytest.mark.parametrize(("optimizer", "bits"), [("adamw", 32), ("adam8bit", 1), ("adafactor", 32)])
def test_a_search_leaves_every_bit_as_it_was(tiny: Tiny, optimizer: str, bits: int) -> None:
    config = replace(CONFIG, optimizer=optimizer, lora_plus_ratio=4.0)
    lora = LoraConfig(rank=4, alpha=8, adapter_bits=bits)
    windows = windows_of(tiny, 90, 12)
    untouched, adapter = (Adapter.create(tiny.config, tiny.device, lora, 0) for _ in range(2))
    expected = train(tiny, untouched, windows, config)
    wanted = read_f32(tiny.device, untouched.parameters)
    untouched.destroy()

    # In the middle of a run, whose optimizer has something to lose.
    control = RunControl()
    trainer = Trainer(tiny.model, adapter, windows, config)
    run(trainer.prepare())
    first: list[float] = []

    def three(record: object) -> None:
        first.append(record.loss)  # type: ignore[attr-defined]
        if len(first) == 3:
            control.stop()

    run(trainer.run(three, control))
    before, version = run(trainer.state()), adapter.version
    memory = tiny.device.allocated_bytes
    search = search_with(tiny, adapter, config)
    assert tiny.device.allocated_bytes == memory
    assert adapter.version == version  # or answers would be computed anew
    after = run(trainer.state())
    assert before.progress == after.progress
    assert before.arrays.keys() == after.arrays.keys()
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(
            array.view(np.uint32), after.arrays[name].view(np.uint32), err_msg=name
        )
    assert len(search.points) > 10

    trainer.restore(after)
    rest: list[float] = []
    run(trainer.run(lambda record: rest.append(record.loss)))
    assert first + rest == expected.losses
    np.testing.assert_array_equal(read_f32(tiny.device, adapter.parameters), wanted)
    trainer.destroy()
    adapter.destroy()


@pytest.mark.gpu
def test_what_it_finds_learns(tiny: Tiny) -> None:
    """The same numbers twice; and a run at the rate found beats ones far from it."""
    adapter = tiny.adapter(LoraConfig(rank=4, alpha=8))
    search, again = search_with(tiny, adapter), search_with(tiny, adapter)
    assert [point.loss for point in search.points] == [point.loss for point in again.points]
    assert search.curve == again.curve
    assert search.diverged
    assert len(search.points) < SearchConfig().steps
    found = search.curve.suggestion
    assert found is not None, search.curve.reason

    losses = {}
    for rate in (found / 30, found, found * 30):
        fresh = tiny.adapter(LoraConfig(rank=4, alpha=8))
        config = replace(CONFIG, steps=20, learning_rate=rate)
        losses[rate] = train(tiny, fresh, windows_of(tiny, 90, 12), config).losses[-1]
        fresh.destroy()
    assert min(losses, key=lambda rate: losses[rate]) == found
    adapter.destroy()


@pytest.mark.gpu
def test_each_step_is_set_against_what_its_own_windows_cost(tiny: Tiny) -> None:
    adapter = tiny.adapter(LoraConfig(rank=4, alpha=8))
    windows = windows_of(tiny, 90, 12)  # eight, two a step: every fourth step sees the same
    search = run(find_learning_rate(tiny.model, adapter, windows, CONFIG))
    before = [point.loss_before for point in search.points]
    assert before[4:] == before[:-4]
    assert len(set(before[:4])) == 4
    for index in range(4):
        pair = windows.subset([2 * index, 2 * index + 1])
        result = run(evaluate(tiny.model, adapter, pair))
        assert result is not None
        assert before[index] == pytest.approx(result.loss, rel=1e-5)
    assert search.points[0].loss == pytest.approx(before[0], rel=1e-4)
    adapter.destroy()


@pytest.mark.gpu
@pytest.mark.parametrize("at", ["reading", "compiling", "step"])
def test_a_search_can_be_stopped(tiny: Tiny, at: str) -> None:
    control = RunControl()
    adapter = tiny.adapter()
    before, memory = read_f32(tiny.device, adapter.parameters), tiny.device.allocated_bytes

    def on_progress(stage: str, share: float) -> None:
        if stage == at:
            control.stop()

    def on_point(point: RatePoint) -> None:
        if at == "step" and point.step == 7:
            control.stop()

    search = run(
        find_learning_rate(
            tiny.model,
            adapter,
            windows_of(tiny, 90, 12),
            CONFIG,
            control=control,
            on_progress=on_progress,
            on_point=on_point,
        )
    )
    assert search.stopped
    assert len(search.points) == (7 if at == "step" else 0)
    assert search.curve.suggestion is None
    assert "stopped" in search.curve.reason
    assert tiny.device.allocated_bytes == memory
    np.testing.assert_array_equal(read_f32(tiny.device, adapter.parameters), before)
    adapter.destroy()
