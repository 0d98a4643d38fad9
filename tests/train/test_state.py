"""A run that goes on from a state is, to the last bit, one that was never interrupted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import CheckpointError
from app.nn.adapter import Adapter
from app.train.control import RunControl
from app.train.records import StepRecord
from app.train.state import TrainerState
from app.train.trainer import Trainer
from tests.conftest import run
from tests.nn.engine import Float32Array, Tiny, read_f32
from tests.train.runs import windows_of

pytestmark = pytest.mark.gpu

STEPS, CUT = 10, 5
CONFIG = TrainConfig(
    max_seq_len=12,
    micro_batch_size=2,
    steps=STEPS,
    learning_rate=1e-2,
    schedule="cosine",
    warmup_steps=3,
    weight_decay=0.1,
)
SETTINGS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "adam8bit": {"optimizer": "adam8bit", "lora_plus_ratio": 4.0},
    "adafactor": {"optimizer": "adafactor"},
    "progressive": {"rank_schedule": "progressive", "gradient_accumulation_steps": 2},
    "adaptive": {"rank_schedule": "adaptive", "optimizer": "adam8bit", "curriculum": "tfidf"},
}


@dataclass
class Keeper:
    """Takes a state after one step, and ends the run there where asked."""

    trainer: Trainer
    step: int
    ends: bool
    state: TrainerState | None = None

    def is_due(self, step: int) -> bool:
        return step == self.step

    async def visit(self, step: int) -> bool:
        assert self.trainer.progress.step == step
        self.state = await self.trainer.state()
        return not self.ends


def new_run(tiny: Tiny, config: TrainConfig, seed: int = 0) -> tuple[Adapter, Trainer]:
    # With rank 32 some matrices are large enough for adam8bit to code their moments.
    adapter = Adapter.create(tiny.config, tiny.device, LoraConfig(rank=32, alpha=32), seed)
    trainer = Trainer(tiny.model, adapter, windows_of(tiny, 90, 12), config)
    run(trainer.prepare())
    return adapter, trainer


def finish(tiny: Tiny, adapter: Adapter, trainer: Trainer) -> Float32Array:
    values = read_f32(tiny.device, adapter.parameters)
    trainer.destroy()
    adapter.destroy()
    return values


def told(records: list[StepRecord]) -> list[tuple[Any, ...]]:
    """Return all of some records that is computed."""
    return [(r.step, r.loss, r.grad_norm, r.learning_rate, r.num_tokens) for r in records]


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_equals_uninterrupted(tiny: Tiny, name: str) -> None:
    config = replace(CONFIG, **SETTINGS[name])
    whole: list[StepRecord] = []
    adapter, trainer = new_run(tiny, config)
    keeper = Keeper(trainer, CUT, ends=False)
    run(trainer.run(whole.append, milestones=keeper))
    expected = finish(tiny, adapter, trainer)
    assert len(whole) == STEPS

    first: list[StepRecord] = []
    adapter, trainer = new_run(tiny, config)
    ended = Keeper(trainer, CUT, ends=True)
    result = run(trainer.run(first.append, milestones=ended))
    assert (result.stopped_early, result.stopped, result.steps) == (True, False, CUT)
    finish(tiny, adapter, trainer)
    assert keeper.state is not None
    assert ended.state is not None
    for key, array in keeper.state.arrays.items():
        np.testing.assert_array_equal(
            array.view(np.uint32), ended.state.arrays[key].view(np.uint32)
        )

    rest: list[StepRecord] = []
    adapter, trainer = new_run(tiny, config, seed=9)  # another start: all comes from the state
    trainer.restore(ended.state)
    result = run(trainer.run(rest.append))
    assert (result.steps, result.stopped_early) == (STEPS, False)
    assert result.num_tokens == whole[-1].num_tokens
    active = trainer.active_ranks
    found = finish(tiny, adapter, trainer)
    assert told(first) + told(rest) == told(whole)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    assert set(active) == set(ended.state.progress.active_ranks)


def test_taking_a_state_changes_no_number(tiny: Tiny) -> None:
    runs = []
    for step in (CUT, 0):
        records: list[StepRecord] = []
        adapter, trainer = new_run(tiny, CONFIG)
        run(trainer.run(records.append, milestones=Keeper(trainer, step, ends=False)))
        runs.append((told(records), finish(tiny, adapter, trainer).tobytes()))
    assert runs[0] == runs[1]


def test_a_run_stopped_in_mid_step_goes_on_too(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a step's gradients, and ranks that had just grown, are not carried over."""
    monkeypatch.setattr("app.gpu.device.MAX_SUBMIT_DISPATCHES", 10)
    config = replace(CONFIG, rank_schedule="adaptive")
    whole: list[StepRecord] = []
    adapter, trainer = new_run(tiny, config)
    run(trainer.run(whole.append))
    expected = finish(tiny, adapter, trainer)
    changes = 1 + int(STEPS * 0.2)  # the first step before which ranks move

    class StopInStep(RunControl):
        polls = 0

        async def wait_while_paused(self) -> None:
            if len(records) == changes - 1:
                self.polls += 1
                if self.polls == 3:
                    self.stop()

    records: list[StepRecord] = []
    adapter, trainer = new_run(tiny, config)
    result = run(trainer.run(records.append, StopInStep()))
    assert (result.stopped, result.steps) == (True, changes - 1)
    state = run(trainer.state())
    finish(tiny, adapter, trainer)
    adapter, trainer = new_run(tiny, config)
    trainer.restore(state)
    run(trainer.run(records.append))
    assert told(records) == told(whole)
    np.testing.assert_array_equal(finish(tiny, adapter, trainer), expected)


def test_a_state_of_another_run_is_refused_and_changes_nothing(tiny: Tiny) -> None:
    adapter, trainer = new_run(tiny, CONFIG)
    state = run(trainer.state())
    finish(tiny, adapter, trainer)
    adapter, trainer = new_run(tiny, replace(CONFIG, optimizer="adafactor"), seed=3)
    before = read_f32(tiny.device, adapter.parameters)
    with pytest.raises(CheckpointError, match="first_moment"):
        trainer.restore(state)
    np.testing.assert_array_equal(finish(tiny, adapter, trainer), before)
