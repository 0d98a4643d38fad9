"""Figures of a whole model: a training step, decoding, the adapter's switch and swap."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np

from app.config import GenerationConfig, LoraConfig, TrainConfig
from app.generate.generator import Generator
from app.gpu.memory import Allocation, build_programs
from app.models.loader import Model
from app.nn.adapter import Adapter, initial_tensors
from app.plan.bench_kernels import Figure, shares
from app.plan.probe import PeakMeter
from app.plan.profile import profile_graph
from app.text.windows import make_windows, pad_batch
from app.train.step import record_training
from app.train.trainer import StepRecord, Trainer

STEPS = {True: 3, False: 10}
"""Training steps that count, on a software adapter and on a GPU; one or two more warm up."""

DECODED_TOKENS = {True: 12, False: 64}
ROUNDS = 3

LORA = LoraConfig()


def random_adapter(model: Model, seed: int = 0) -> Adapter:
    """Return an adapter whose B is random too, so that it changes the model."""
    random = np.random.default_rng(seed)
    adapter = Adapter(model.config, model.device, LORA)
    adapter.load(
        {
            path: (a, (random.standard_normal(b.shape) * 0.01).astype(np.float32))
            for path, (a, b) in initial_tensors(model.config, LORA, seed).items()
        }
    )
    return adapter


async def train_figure(model: Model, meter: PeakMeter, num_sequences: int, seq_len: int) -> Figure:
    """Return the rate of training steps as a run makes them, reports read back and all.

    share counts 4·P FLOP a token, P the weights a token is multiplied with. host_share is the
    processor time of the host's thread over the wall time: an upper bound of what the GPU waits
    for it. It is left out where the platform does not tell a thread's time.
    """
    is_software = model.device.info.is_software
    warm_up = 1 if is_software else 2
    steps = warm_up + STEPS[is_software]
    windows = make_windows(_random_tokens(model, num_sequences * seq_len * steps), seq_len)
    config = TrainConfig(
        max_seq_len=seq_len, micro_batch_size=num_sequences, steps=steps, eval_fraction=0.0
    )
    adapter = Adapter.create(model.config, model.device, LORA, seed=0)
    records: list[StepRecord] = []
    host: list[float] = []
    processor: list[float] = []

    def on_step(record: StepRecord) -> None:
        records.append(record)
        host.append(_thread_seconds())
        processor.append(time.process_time())

    trainer = Trainer(model, adapter, windows, config)
    try:
        started = time.perf_counter()
        await trainer.prepare()
        prepared = time.perf_counter()
        await trainer.run(on_step)
    finally:
        trainer.destroy()
        adapter.destroy()
    counted = [record.seconds for record in records[warm_up:]]
    peak = await meter.peak()
    tokens = num_sequences * seq_len
    seconds = statistics.median(counted)
    flops = 4.0 * model.config.num_matmul_parameters * tokens
    work = flops * len(counted) / 1e9
    processor_seconds = max(processor[-1] - processor[warm_up - 1], 1e-6)
    figure = {
        "bench": "train_step",
        "num_tokens": tokens,
        "shape": [num_sequences, seq_len],
        "tokens_per_second": round(tokens / seconds, 2),
        "tokens_per_second_low": round(tokens / max(counted), 2),
        "tokens_per_second_high": round(tokens / min(counted), 2),
        "gflops": round(flops / seconds / 1e9, 3),
        **shares(flops / seconds / 1e9, work / processor_seconds, peak, is_software),
        "dispatches": trainer.num_dispatches,
        "bytes": trainer.plan.total_bytes,
        "prepare_ms": round(1e3 * (prepared - started), 1),
        "first_step_ms": round(1e3 * records[0].seconds, 1),
    }
    if hasattr(time, "thread_time"):
        figure["host_share"] = round((host[-1] - host[warm_up - 1]) / sum(counted), 4)
    return figure


async def profile_figures(model: Model, num_sequences: int, seq_len: int) -> AsyncIterator[Figure]:
    """Yield one line for each kernel and grid of a training step, slowest first."""
    device = model.device
    adapter = random_adapter(model)
    graphs = record_training(model, adapter, micro_batch_size=num_sequences, seq_len=seq_len)
    allocation = Allocation.create(device, graphs.plan)
    try:
        recorded = [graphs.micro_batch, graphs.update]
        programs = await build_programs(device, recorded, allocation)
        windows = make_windows(_random_tokens(model, num_sequences * seq_len), seq_len)
        batch = pad_batch(windows, range(num_sequences), num_sequences, seq_len)
        graphs.inputs.write(device, batch, 1.0 / windows.num_predicted)
        await device.run(programs[0])
        rows = []
        for index, graph in enumerate(recorded):
            rows += await profile_graph(device, graph, allocation, index)
        total = sum(row.seconds for row in rows)
        for row in sorted(rows, key=lambda row: -row.seconds):
            yield row.figure(total)
    finally:
        allocation.destroy()
        adapter.destroy()


async def generation_figures(model: Model, prompt_tokens: int) -> AsyncIterator[Figure]:
    """Yield decoding without and with an adapter, in turns, then prefill, switch and swap."""
    new_tokens = DECODED_TOKENS[model.device.info.is_software]
    generator = Generator(model, prompt_tokens + new_tokens + 1)
    adapter = random_adapter(model)
    talk = _Talk(model, generator, prompt_tokens)
    try:
        for choice in (None, adapter):
            await talk.answer(choice, 2)
        rates: dict[bool, list[float]] = {False: [], True: []}
        prefills = []
        for _ in range(ROUNDS):
            for choice in (None, adapter):
                seconds, prefill_seconds, _ = await talk.answer(choice, new_tokens)
                rates[choice is not None].append((new_tokens - 1) / seconds)
                prefills.append(prompt_tokens / prefill_seconds)
        for has_adapter, values in rates.items():
            yield _spread("decode", "tokens_per_second", values, lora=has_adapter)
        yield _spread("prefill", "tokens_per_second", prefills, num_tokens=prompt_tokens)
        switches, refills = [], []
        for choice in (None, adapter) * ROUNDS:
            _, prefill_seconds, switch_seconds = await talk.answer(choice, 1)
            switches.append(1e3 * switch_seconds)
            refills.append(1e3 * prefill_seconds)
        # The conversation so far is read again with the other weights: a cost of its own.
        yield _spread(
            "adapter_switch",
            "ms",
            switches,
            num_tokens=prompt_tokens,
            refill_ms=round(statistics.median(refills), 2),
        )
        yield _spread("adapter_swap", "ms", await _swap_times(model, adapter))
    finally:
        generator.destroy()
        adapter.destroy()


class _Talk:
    """Answers to fresh prompts, so that no cache helps."""

    def __init__(self, model: Model, generator: Generator, prompt_tokens: int) -> None:
        self._generator = generator
        self._tokens = prompt_tokens
        self._random = np.random.default_rng(0)
        self._vocab_size = model.config.vocab_size

    async def answer(self, adapter: Adapter | None, new_tokens: int) -> tuple[float, float, float]:
        """Return seconds from the first to the last new token, of the prompt, and of the rest."""
        prompt = self._random.integers(0, self._vocab_size, self._tokens).tolist()
        stamps: list[float] = []
        on_token: Callable[[int], None] = lambda _: stamps.append(time.perf_counter())  # noqa: E731
        config = GenerationConfig(max_new_tokens=new_tokens, temperature=0.0)
        started = time.perf_counter()
        result = await self._generator.generate(prompt, config, adapter=adapter, on_token=on_token)
        before_first = stamps[0] - started
        return stamps[-1] - stamps[0], result.prefill_seconds, before_first - result.prefill_seconds


async def _swap_times(model: Model, adapter: Adapter) -> list[float]:
    """Return the milliseconds of replacing an adapter's parameters by others."""
    tensors = initial_tensors(model.config, LORA, seed=1)
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        adapter.load(tensors)
        await model.device.wait()
        times.append(1e3 * (time.perf_counter() - started))
    return times[1:]


def _spread(name: str, unit: str, values: list[float], **fields: Any) -> Figure:
    """Return a line with the median and the extremes."""
    return {
        "bench": name,
        **fields,
        unit: round(statistics.median(values), 3),
        f"{unit}_low": round(min(values), 3),
        f"{unit}_high": round(max(values), 3),
    }


def _random_tokens(model: Model, count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.random.default_rng(0).integers(0, model.config.vocab_size, count, np.int32)


def _thread_seconds() -> float:
    return time.thread_time() if hasattr(time, "thread_time") else 0.0
