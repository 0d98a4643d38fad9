"""Plans of random models, limits and settings, held against what is then really allocated."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest

from app.config import LoraConfig, ModelConfig, TrainConfig
from app.errors import OutOfGpuMemoryError
from app.generate.passes import new_caches, record_passes
from app.generate.prompts import SAMPLE_TOKENS, prompt_ids
from app.gpu.device import Device
from app.gpu.graph import Graph
from app.gpu.memory import Allocation, plan_memory
from app.gpu.tuning import GPU, SOFTWARE, SOFTWARE_SUBGROUPS
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.plan.full import FullMode
from app.plan.mode_plan import ModePlan
from app.plan.modes import AdapterMode, RunSettings
from app.plan.planner import Planner
from app.plan.speed import Speed
from app.plan.work import ModeName
from app.text.dataset import Dataset, make_dataset
from app.text.documents import Documents
from app.text.windows import spread_windows
from app.train.evaluate import batch_shape
from app.train.full.trainer import FullTrainer
from app.train.step import record_evaluation
from app.train.trainer import Trainer
from tests.plan.limited import LimitedDevice, fill_hollow, hollow_model
from tests.plan.shapes import TINY

pytestmark = pytest.mark.gpu

SPEED = Speed(gflops=20.0, is_software=True, dispatch_seconds=20e-6)
PROBES = 100
TIGHT: dict[ModeName, tuple[float, float]] = {"adapter": (0.0, 2.0), "full": (2.0, 5.0)}
"""Doublings over the weights' bytes between which small devices lie; see `random_case`."""


@dataclass(frozen=True)
class Case:
    """A model on a device, a corpus, and what a person wants."""

    model: Model
    device: LimitedDevice
    documents: Documents
    wanted: RunSettings
    mode: ModeName

    @property
    def planner(self) -> Planner:
        mode = AdapterMode(self.model) if self.mode == "adapter" else FullMode(self.model)
        return Planner(mode, cast("Device", self.device), self.cut, SPEED)

    def cut(self, settings: RunSettings) -> Dataset:
        train = settings.train
        return make_dataset(
            self.documents,
            by_documents=train.packing != "none",
            max_seq_len=train.max_seq_len,
            packing=train.packing,
            eval_fraction=train.eval_fraction,
            seed=train.seed,
        )


@contextmanager
def random_case(
    device: Device,
    seed: int,
    mode: ModeName = "adapter",
    doublings: tuple[float, float] = (1.5, 5.5),
) -> Iterator[Case]:
    """Draw everything; the model is loaded for real.

    By default limits are in the proportions of real devices: WebGPU's default binding of 128 MiB
    is five times the largest weight of SmolLM2-135M, and 4 GiB forty times all of them.

    Args:
        device: Where it is loaded.
        seed: Of all that is drawn.
        mode: What is trained.
        doublings: From and to how many doublings the device's memory lies above the weights'
            bytes, and its largest buffer above the largest weight's.
    """
    draw = random.Random(seed)
    model = hollow_model(_random_shape(draw))
    storages = list(model.weights.storages())
    weights = sum(storage.size_bytes for storage in storages)
    memory = int(weights * 2.0 ** draw.uniform(*doublings))
    largest = max(storage.size_bytes for storage in storages)
    buffer = int(largest * 2.0 ** draw.uniform(*doublings))
    is_told = draw.random() < 0.6
    limited = LimitedDevice(device, memory, buffer, is_told)
    limited.tuning = draw.choice((GPU, SOFTWARE, SOFTWARE_SUBGROUPS))
    fill_hollow(model, limited)
    wanted = _random_settings(draw, model.config)
    if not is_told:  # then the person says it
        wanted = wanted.edited(device_memory_gb=memory / 1e9)
    documents = _random_documents(draw)
    if mode == "full":
        weights_kept = draw.choice(("f32", "f16", "int4"))
        wanted = wanted.edited(mode="full", full_weights=weights_kept, rank_schedule="fixed")
        wanted = wanted.edited(eval_every=0, sample_every=0)  # tests/runs/test_beside.py has those
    try:
        yield Case(model, limited, documents, wanted, mode)
    finally:
        model.destroy()
        assert limited.allocated_bytes == 0


def _random_shape(draw: random.Random) -> ModelConfig:
    heads, head_dim = draw.choice(((2, 16), (4, 16), (1, 32), (2, 32), (4, 32), (2, 64)))
    return replace(
        TINY,
        hidden_size=32 * draw.randint(2, 6),
        intermediate_size=32 * draw.randint(1, 12),
        num_hidden_layers=draw.randint(1, 4),
        num_attention_heads=heads,
        num_key_value_heads=draw.choice([n for n in (1, 2, 4) if heads % n == 0]),
        head_dim=head_dim,
        vocab_size=32 * draw.randint(4, 80),
        max_position_embeddings=draw.choice((128, 256, 512)),
        tie_word_embeddings=draw.random() < 0.5,
    )


def _random_settings(draw: random.Random, model: ModelConfig) -> RunSettings:
    train = TrainConfig(
        max_seq_len=8 * draw.randint(2, model.max_position_embeddings // 8),
        micro_batch_size=draw.randint(1, 16),
        gradient_accumulation_steps=draw.choice((1, 1, 2, 3)),
        steps=draw.choice((None, 5, 400)),
        optimizer=draw.choice(("adamw", "adam8bit", "adafactor")),
        rank_schedule=draw.choice(("fixed", "progressive", "adaptive")),
        lora_plus_ratio=draw.choice((1.0, 16.0)),
        packing=draw.choice(("none", "none", "best-fit")),
        gradient_checkpointing=draw.choice(("auto", "auto", "auto", "on")),
        eval_fraction=draw.choice((0.0, 0.05, 0.5)),
        eval_every=draw.choice((0, 3)),
        max_eval_tokens=draw.choice((None, 40)),
        sample_every=draw.choice((0, 5)),
    )
    return RunSettings(LoraConfig(rank=draw.choice((1, 3, 4, 8))), train)


def _random_documents(draw: random.Random) -> Documents:
    lengths = [draw.randint(2, 300) for _ in range(draw.randint(1, 40))]
    bounds = np.cumsum([0, *lengths])
    return Documents(
        np.zeros(bounds[-1], np.int32),
        np.ones(bounds[-1], np.bool_),
        bounds,
        tuple(map(str, range(len(lengths)))),
    )


def allocate(case: Case, plan: ModePlan) -> int:
    """Allocate a planned run as a run does; return the bytes that the device gave out."""
    device = cast("Device", case.device)
    if case.mode == "full":
        full = FullTrainer(case.model, plan.dataset.train, plan.settings.train)
        assert full.num_steps == plan.num_steps
        allocation = Allocation.create(device, full.plan)
        allocated = device.allocated_bytes
        allocation.destroy()
        return allocated
    adapter = Adapter(case.model.config, device, plan.settings.lora)
    try:
        train, reserved = plan.settings.train, plan.outline.reserved_bytes
        trainer = Trainer(case.model, adapter, plan.dataset.train, train, reserved_bytes=reserved)
        assert trainer.num_steps == plan.num_steps
        assert trainer.is_checkpointing == plan.outline.is_checkpointing
        allocation = Allocation.create(device, trainer.plan)
        try:
            beside = beside_bytes(case, plan, adapter)
        finally:
            allocated = device.allocated_bytes
            allocation.destroy()
    finally:
        adapter.destroy()
    return allocated + beside


def beside_bytes(case: Case, plan: ModePlan, adapter: Adapter) -> int:
    """Allocate what an evaluation and a sample take, one after the other; return the larger."""
    train, dataset, device = plan.settings.train, plan.dataset, cast("Device", case.device)
    graphs: list[list[Graph]] = []
    if train.eval_every and dataset.evaluation is not None:
        read = spread_windows(dataset.evaluation, train.max_eval_tokens)
        together, seq_len = batch_shape(read, train.micro_batch_size)
        graph, _ = record_evaluation(
            case.model,
            adapter,
            num_sequences=together,
            seq_len=seq_len,
            is_packed=read.is_packed,
        )
        graphs.append([graph])
    if train.sample_every:
        context = len(prompt_ids(case.model, "", dataset)) + SAMPLE_TOKENS
        caches = new_caches(case.model.config, context)
        graphs.append([item.graph for item in record_passes(case.model, adapter, caches)])
    most, before = 0, device.allocated_bytes
    for each in graphs:
        allocation = Allocation.create(device, plan_memory(each))
        most = max(most, device.allocated_bytes - before)
        allocation.destroy()
    return most


def test_chosen_plans_fit_and_take_the_bytes_that_were_foretold(device: Device) -> None:
    feasible = changed = recomputed = 0
    for seed in range(PROBES):
        with random_case(device, seed) as case:
            plan = case.planner.plan(case.wanted)
            parts = plan.outline.parts()
            assert sum(parts.values()) == plan.total_bytes
            if not plan.is_feasible:
                with pytest.raises(OutOfGpuMemoryError):  # it says so, and it is so
                    allocate(case, plan)
                _check_remedy(case, plan)
                continue
            assert allocate(case, plan) == plan.total_bytes, f"case {seed}"
            feasible += 1
            changed += plan.settings != case.wanted
            recomputed += plan.outline.is_checkpointing
    print(f"{feasible} of {PROBES} fit; {changed} were changed, {recomputed} recompute")
    assert feasible >= 0.95 * PROBES
    # the limits were tight enough to be worth planning for
    assert changed >= 20
    assert recomputed >= 10


@pytest.mark.parametrize("mode", ["adapter", "full"])
def test_on_small_devices_a_plan_is_found_wherever_there_is_one(
    device: Device, mode: ModeName
) -> None:
    """Limits so tight that for some cases nothing fits: then that is said, and it is so."""
    feasible = mended = 0
    for seed in range(PROBES):
        with random_case(device, seed, mode, TIGHT[mode]) as case:
            plan = case.planner.plan(case.wanted)
            if plan.is_feasible:
                assert allocate(case, plan) == plan.total_bytes, f"case {seed}"
                feasible += 1
                continue
            with pytest.raises(OutOfGpuMemoryError):
                allocate(case, plan)
            _check_remedy(case, plan)
            mended += bool(plan.warnings[0].settings)
    print(f"{mode}: {feasible} of {PROBES} fit, {mended} after what is advised")
    assert 0.2 * PROBES < feasible < 0.95 * PROBES


def _check_remedy(case: Case, plan: ModePlan) -> None:
    """What is offered for a run that does not fit does fit; where nothing is, nothing does."""
    advice = plan.warnings[0]
    if advice.settings:
        mended = case.planner.assess(plan.settings.edited(**advice.settings))
        assert mended.is_feasible
        assert allocate(case, mended) == mended.total_bytes
        return
    least = plan.settings.edited(
        max_seq_len=16,
        micro_batch_size=1,
        rank=1,
        gradient_checkpointing="on",
        eval_every=0,
        sample_every=0,
    )
    if case.mode == "full":
        least = least.edited(optimizer="adafactor", full_weights="int4")
    with pytest.raises(OutOfGpuMemoryError):
        allocate(case, case.planner.assess(least))


def test_what_was_changed_is_said_and_what_is_pinned_stays(device: Device) -> None:
    with random_case(device, 3) as case:
        case.device.limits = replace(case.device.limits, max_binding_bytes=1 << 30)
        roomy = case.wanted.edited(
            max_seq_len=64,
            micro_batch_size=8,
            gradient_accumulation_steps=1,
            rank=4,
            packing="none",
            steps=None,
            gradient_checkpointing="auto",
            device_memory_gb=1.0,
        )
        free = case.planner.plan(roomy)
        assert free.is_feasible
        assert free.settings == roomy
        assert free.notes == ()
        assert free.warnings == ()

        tight = roomy.edited(device_memory_gb=(free.total_bytes - 1) / 1e9)
        plan = case.planner.plan(tight)
        assert plan.is_feasible
        assert plan.settings.train.max_seq_len == 64
        # The same step, in parts or with its layers computed twice: whichever is faster.
        train = plan.settings.train
        assert train.micro_batch_size * train.gradient_accumulation_steps == 8
        assert len(plan.notes) == 1

        pinned = case.planner.plan(
            tight.edited(gradient_checkpointing="off"), ("micro_batch_size", "max_seq_len")
        )
        assert not pinned.is_feasible
        assert pinned.settings.train.micro_batch_size == 8
        assert pinned.warnings[0].settings["micro_batch_size"] < 8


def test_a_run_of_more_than_half_an_hour_is_warned_of(device: Device) -> None:
    with random_case(device, 3) as case:
        slow = replace(SPEED, gflops=1e-3)
        planner = replace(case.planner, speed=slow)
        wanted = case.wanted.edited(steps=100_000, device_memory_gb=1.0)
        warning = planner.plan(wanted).warnings[-1]
        assert "more than half an hour" in warning.text
        shorter = planner.plan(wanted.edited(**warning.settings))
        assert shorter.num_steps == warning.settings["steps"]
        assert shorter.time.seconds < planner.plan(wanted).time.seconds
        assert shorter.time.seconds <= 1800 or shorter.num_steps == 10
