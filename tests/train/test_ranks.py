"""Ranks in use: when they change, what growing and moving do, what is exported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import OutOfGpuMemoryError
from app.nn.adapter import Adapter
from app.train.hardware_rank import candidate_ranks, choose_rank
from app.train.ranks import RankSchedule, importance, masks_of, move_ranks
from app.train.records import StepRecord
from app.train.trainer import Trainer
from tests.conftest import run
from tests.nn.engine import Tiny
from tests.train.runs import train, windows_of

CONFIG = TrainConfig(
    max_seq_len=12, micro_batch_size=2, steps=12, learning_rate=1e-2, eval_fraction=0
)


def tensors_of(scores: dict[str, list[float]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Adapters whose ranks have these importances."""
    made = {}
    for path, values in scores.items():
        a, b = np.zeros((len(values), 8), np.float32), np.zeros((6, len(values)), np.float32)
        a[:, 0], b[0] = 1.0, values
        made[path] = (a, b)
    return made


def test_importance_is_the_singular_value_of_each_rank_alone() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((3, 7)), random.standard_normal((5, 3))
    expected = [np.linalg.svd(np.outer(b[:, k], a[k]), compute_uv=False)[0] for k in range(3)]
    np.testing.assert_allclose(
        importance(a.astype(np.float32), b.astype(np.float32)), expected, rtol=1e-6
    )


def test_progressive_grows_to_the_whole_rank() -> None:
    schedule = RankSchedule("progressive", 8, 12)
    tensors = tensors_of({"x": [0.0] * 8})
    active = schedule.first(tensors)
    counts = []
    for step in range(1, 13):
        if schedule.changes_before(step):
            active = schedule.next(step, active, tensors)
        counts.append(len(active["x"]))
    assert counts == [2] * 4 + [4] * 4 + [8] * 4


def test_a_trained_adapter_keeps_all_it_has() -> None:
    tensors = tensors_of({"x": [0, 0, 0, 0.5], "y": [0.0] * 4})
    active = RankSchedule("progressive", 4, 10).first(tensors)
    assert active == {"x": (0, 3), "y": (0,)}


def test_ranks_move_from_where_they_do_little_to_where_they_do_much() -> None:
    tensors = tensors_of({"much": [5, 4, 0, 0], "some": [2, 1.5, 0, 0], "little": [1, 0.01, 0, 0]})
    active = dict.fromkeys(tensors, (0, 1))
    moved = move_ranks(active, tensors, 4)
    assert moved == {"much": (0, 1, 2), "some": (0, 1), "little": (0,)}
    assert active == dict.fromkeys(tensors, (0, 1))


def test_moving_keeps_the_sum_and_the_bounds() -> None:
    random = np.random.default_rng(1)
    tensors = tensors_of({str(n): random.random(6).tolist() for n in range(40)})
    active = dict.fromkeys(tensors, (0, 1, 2))
    for _ in range(30):
        active = dict(move_ranks(active, tensors, 6))
        counts = [len(ranks) for ranks in active.values()]
        assert sum(counts) == 120
        assert 1 <= min(counts) <= max(counts) <= 6
    assert len(set(counts)) > 1


@pytest.mark.parametrize("name", ["fixed", "hardware"])
def test_fixed_never_changes(name: str) -> None:
    assert RankSchedule(name, 8, 10).is_fixed  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["progressive", "adaptive"])
def test_ranks_not_in_use_stay_zero_and_the_others_learn(tiny: Tiny, name: str) -> None:
    lora = LoraConfig(rank=8, alpha=8)
    adapter = Adapter.create(tiny.config, tiny.device, lora, seed=0)
    config = replace(CONFIG, rank_schedule=name)
    windows = windows_of(tiny, 60, 12)
    trainer = Trainer(tiny.model, adapter, windows, config)
    run(trainer.prepare())
    seen: list[int] = []
    told: dict[int, int] = {}

    def on_step(record: StepRecord) -> None:
        seen.append(sum(len(ranks) for ranks in trainer.active_ranks.values()))
        if record.ranks is not None:
            told[record.step] = sum(record.ranks.values())

    run(trainer.run(on_step))
    tensors = run(adapter.tensors())
    modules = len(tensors)
    if name == "progressive":
        assert seen == [2 * modules] * 4 + [4 * modules] * 4 + [8 * modules] * 4
        assert told == {1: 2 * modules, 5: 4 * modules, 9: 8 * modules}
    else:
        assert seen == [4 * modules] * 12
        assert told.keys() == {1, 3, 5, 8, 10}
        assert set(told.values()) == {4 * modules}
        assert len({len(ranks) for ranks in trainer.active_ranks.values()}) > 1
    for path, (a, b) in tensors.items():
        in_use = np.zeros(8, np.bool_)
        in_use[list(trainer.active_ranks[path])] = True
        assert not b[:, ~in_use].any()
        assert a.any(axis=1).all()
    trainer.destroy()
    adapter.destroy()


@pytest.mark.gpu
def test_growing_changes_nothing_at_that_moment(tiny: Tiny) -> None:
    """Up to the step at which it grows, and in that step's loss, a run is one of fewer ranks."""
    adapter = Adapter.create(tiny.config, tiny.device, LoraConfig(rank=8, alpha=8), seed=0)
    start = run(adapter.tensors())
    windows = windows_of(tiny, 60, 12)
    grown = train(tiny, adapter, windows, replace(CONFIG, rank_schedule="progressive"))
    small = Adapter(tiny.config, tiny.device, LoraConfig(rank=2, alpha=2))
    small.load({path: (a[:2], b[:, :2]) for path, (a, b) in start.items()})
    kept = train(tiny, small, windows, CONFIG)
    np.testing.assert_allclose(grown.losses[:5], kept.losses[:5], rtol=1e-6)
    assert abs(grown.losses[8] - kept.losses[8]) > 1e-6
    adapter.destroy()
    small.destroy()


def test_masks_cover_rows_of_a_and_columns_of_b(tiny: Tiny) -> None:
    adapter = Adapter.create(tiny.config, tiny.device, LoraConfig(rank=4), seed=0)
    layout = adapter.layout
    active = dict.fromkeys(layout.module_slices(), (1, 3))
    trained, present = masks_of(layout, active)
    for a, b in layout.unpack(trained.astype(np.float32)).values():
        assert (a == [[0], [1], [0], [1]]).all()
        assert (b == [0, 1, 0, 1]).all()
    for a, b in layout.unpack(present.astype(np.float32)).values():
        assert a.all()
        assert (b == [0, 1, 0, 1]).all()
    adapter.destroy()


def test_candidates_are_the_rank_and_its_halves() -> None:
    assert candidate_ranks(64) == [8, 16, 32, 64]
    assert candidate_ranks(5) == [1, 2, 5]
    assert candidate_ranks(1) == [1]


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [([1, 1, 1, 1], 16), ([1, 1.05, 1.2, 1.0], 4), ([1, 2, 1, 1], 2), ([1, 1, 1, None], 8)],
)
def test_the_largest_rank_that_costs_hardly_any_speed(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, seconds: list[float | None], chosen: int
) -> None:
    tried: list[int] = []

    async def timed(model: object, lora: LoraConfig, *rest: object) -> float:
        found = seconds[len(tried)]
        tried.append(lora.rank)
        if found is None:
            raise OutOfGpuMemoryError("too large")
        return found

    monkeypatch.setattr("app.train.hardware_rank._time_micro_batch", timed)
    windows = windows_of(tiny, 60, 12)
    lora = run(choose_rank(tiny.model, LoraConfig(rank=16, alpha=32), windows, CONFIG))
    assert (lora.rank, lora.alpha) == (chosen, 2 * chosen)


@pytest.mark.gpu
def test_ranks_are_timed_on_the_device_and_leave_nothing(tiny: Tiny) -> None:
    windows = windows_of(tiny, 60, 12)
    before = tiny.device.allocated_bytes
    lora = run(choose_rank(tiny.model, LoraConfig(rank=8, alpha=8), windows, CONFIG))
    assert lora.rank in (1, 2, 4, 8)
    assert tiny.device.allocated_bytes == before
