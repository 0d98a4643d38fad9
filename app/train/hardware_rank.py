"""The largest rank that a device trains at hardly any cost, found by timing real micro-batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from app.config import LoraConfig, TrainConfig
from app.errors import OutOfGpuMemoryError
from app.gpu.budget import MemoryBudget
from app.gpu.memory import Allocation, build_programs
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.text.windows import Windows, pad_batch
from app.train.step import record_training

MAX_SLOWDOWN = 1.1
"""A micro-batch may take this many times as long as with the smallest rank that is tried."""

MAX_CANDIDATES = 4
RUNS = 2


def candidate_ranks(rank: int) -> list[int]:
    """Return the rank and its halves, at most four, the smallest first."""
    halves = [rank]
    while halves[-1] > 1 and len(halves) < MAX_CANDIDATES:
        halves.append(halves[-1] // 2)
    return halves[::-1]


async def choose_rank(
    model: Model,
    lora: LoraConfig,
    windows: Windows,
    config: TrainConfig,
    on_progress: Callable[[str, float], None] | None = None,
) -> LoraConfig:
    """Return the settings with the largest rank that holds throughput and memory.

    Each candidate's micro-batch runs on the first windows; its least time counts. A rank that
    does not fit the device, or takes more than MAX_SLOWDOWN times the smallest one's time, and
    all larger ones are left out.

    Args:
        model: Frozen base.
        lora: Its rank is the largest that is tried; alpha / rank stays what it is.
        windows: What the run will train on.
        config: Settings of the run.
        on_progress: Called with what is being done and the share of it that is done.

    Raises:
        OutOfGpuMemoryError: not even the smallest candidate fits.
    """
    candidates = candidate_ranks(lora.rank)
    chosen, fastest = candidates[0], 0.0
    for index, rank in enumerate(candidates):
        if on_progress:
            on_progress(say("timing ranks"), index / len(candidates))
        try:
            seconds = await _time_micro_batch(model, _with_rank(lora, rank), windows, config)
        except OutOfGpuMemoryError:
            if index == 0:
                raise
            break
        fastest = fastest or seconds
        if seconds > MAX_SLOWDOWN * fastest:
            break
        chosen = rank
    return _with_rank(lora, chosen)


def _with_rank(lora: LoraConfig, rank: int) -> LoraConfig:
    alpha = lora.alpha * rank / lora.rank
    return replace(lora, rank=rank, alpha=int(alpha) if alpha == int(alpha) else alpha)


async def _time_micro_batch(
    model: Model, lora: LoraConfig, windows: Windows, config: TrainConfig
) -> float:
    device, seq_len = model.device, int(windows.lengths.max())
    count = min(config.micro_batch_size, windows.num_windows)
    adapter = Adapter.create(model.config, device, lora, config.seed)
    allocation = None
    try:
        graphs = record_training(
            model,
            adapter,
            micro_batch_size=count,
            seq_len=seq_len,
            optimizer=config.optimizer,
            is_packed=windows.is_packed,
            gradient_checkpointing=config.gradient_checkpointing,
            budget_bytes=MemoryBudget.of(device, config.device_memory_gb).memory_bytes,
        )
        allocation = Allocation.create(device, graphs.plan)
        program = (await build_programs(device, [graphs.micro_batch, graphs.update], allocation))[0]
        graphs.inputs.write(device, pad_batch(windows, range(count), count, seq_len), 1.0)
        times = []
        for _ in range(1 + RUNS):  # the first pays for what drivers put off
            started = time.perf_counter()
            await device.run(program)
            await device.wait()
            times.append(time.perf_counter() - started)
        return min(times[1:])
    finally:
        if allocation is not None:
            allocation.destroy()
        adapter.destroy()
