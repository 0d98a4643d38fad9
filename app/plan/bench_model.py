"""Figures of a whole model: a training step, decoding, the adapter's switch and swap."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.config import GenerationConfig, LoraConfig, TrainConfig
from app.generate.generator import Generator
from app.gpu.memory import Allocation, build_programs
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter, initial_tensors
from app.plan.bench_run import BenchRun, Figure
from app.plan.profile import profile_graph
from app.plan.timing import HostClock
from app.text.windows import make_windows, pad_batch
from app.train.records import StepRecord
from app.train.step import record_training
from app.train.trainer import Trainer

STEPS = {True: 3, False: 10}
"""Training steps that count, on a software adapter and on a GPU; one or two more warm up."""

DECODED_TOKENS = {True: 12, False: 64}
PROMPT_TOKENS = {True: 32, False: 256}
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


@dataclass(frozen=True)
class StepTimes:
    """What a few training steps took.

    Attributes:
        seconds: Of each step that counts, reports read back and all.
        first_seconds: Of the first step: what drivers put off until first use is in it.
        prepare_seconds: Allocating and compiling before it.
        host_seconds: Of the host, over the steps that count: see `HostClock`.
        processor_seconds: Of all threads of the process, over the same steps.
        planned_bytes: What the plan said.
        allocated_bytes: What the device had given out while the steps ran.
    """

    seconds: list[float]
    first_seconds: float
    prepare_seconds: float
    host_seconds: float
    processor_seconds: float
    dispatches: int
    planned_bytes: int
    allocated_bytes: int


async def time_training(
    run: BenchRun, model: Model, lora: LoraConfig, num_sequences: int, seq_len: int, steps: int
) -> StepTimes:
    """Train a fresh adapter for a few steps; one (on a GPU two) more come first and warm up.

    Raises:
        BenchStoppedError: it was stopped meanwhile.
    """
    warm_up = 1 if run.is_software else 2
    total = warm_up + steps
    windows = make_windows(_random_tokens(model, num_sequences * seq_len * total), seq_len)
    config = TrainConfig(
        max_seq_len=seq_len, micro_batch_size=num_sequences, steps=total, eval_fraction=0.0
    )
    adapter = Adapter.create(model.config, model.device, lora, seed=0)
    records: list[StepRecord] = []
    host: list[float] = []
    processor: list[float] = []
    clock = HostClock()

    def on_step(record: StepRecord) -> None:
        records.append(record)
        host.append(clock.seconds)
        processor.append(time.process_time())

    trainer = Trainer(model, adapter, windows, config)
    try:
        started = time.perf_counter()
        await trainer.prepare()
        prepared = time.perf_counter()
        allocated = model.device.allocated_bytes
        await clock.run(trainer.run(on_step, run.control))
    finally:
        trainer.destroy()
        adapter.destroy()
    run.check()
    return StepTimes(
        [record.seconds for record in records[warm_up:]],
        records[0].seconds,
        prepared - started,
        host[-1] - host[warm_up - 1],
        processor[-1] - processor[warm_up - 1],
        trainer.num_dispatches,
        trainer.plan.total_bytes,
        allocated,
    )


async def bench_training(run: BenchRun, model: Model, num_sequences: int, seq_len: int) -> None:
    """Report the rate of training steps as a run makes them.

    share counts 4·P FLOP a token, P the weights a token is multiplied with. host_share is the
    time of the host over the wall time: an upper bound of what the GPU waits for it.
    """
    run.stage(
        say(
            "training steps of {num_sequences} × {seq_len} tokens",
            num_sequences=num_sequences,
            seq_len=seq_len,
        )
    )
    times = await time_training(run, model, LORA, num_sequences, seq_len, STEPS[run.is_software])
    peak = await run.meter.peak()
    tokens = num_sequences * seq_len
    seconds = statistics.median(times.seconds)
    flops = 4.0 * model.config.num_matmul_parameters * tokens
    work = flops * len(times.seconds) / 1e9
    run.report(
        "train_step",
        num_tokens=tokens,
        shape=[num_sequences, seq_len],
        rank=LORA.rank,
        tokens_per_second=round(tokens / seconds, 2),
        tokens_per_second_low=round(tokens / max(times.seconds), 2),
        tokens_per_second_high=round(tokens / min(times.seconds), 2),
        ms=round(1e3 * seconds, 2),
        gflops=round(flops / seconds / 1e9, 3),
        **run.shares(flops / seconds / 1e9, work / max(times.processor_seconds, 1e-6), peak),
        dispatches=times.dispatches,
        host_share=round(times.host_seconds / sum(times.seconds), 4),
        bytes=times.planned_bytes,
        allocated_bytes=times.allocated_bytes,
        prepare_ms=round(1e3 * times.prepare_seconds, 1),
        first_step_ms=round(1e3 * times.first_seconds, 1),
    )


async def bench_profile(run: BenchRun, model: Model, num_sequences: int, seq_len: int) -> None:
    """Report one line for each kernel and grid of a training step, slowest first."""
    run.stage(say("each kernel of a step"))
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
            values = row.figure(total)
            run.report(values.pop("bench"), **values)
    finally:
        allocation.destroy()
        adapter.destroy()


async def bench_generation(run: BenchRun, model: Model, prompt_tokens: int | None = None) -> None:
    """Report decoding and reading without and with an adapter, in turns, then switch and swap."""
    is_software = run.is_software
    prompt_tokens = prompt_tokens or PROMPT_TOKENS[is_software]
    new_tokens = DECODED_TOKENS[is_software]
    run.stage(
        say(
            "answers of {new_tokens} tokens to {prompt_tokens}",
            new_tokens=new_tokens,
            prompt_tokens=prompt_tokens,
        )
    )
    generator = Generator(model, prompt_tokens + new_tokens + 1)
    adapter = random_adapter(model)
    talk = _Talk(run, model, generator, prompt_tokens)
    try:
        for choice in (None, adapter):
            await talk.answer(choice, 2)
        rates: dict[bool, list[float]] = {False: [], True: []}
        prefills: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for choice in (None, adapter):
                seconds, prefill_seconds, _ = await talk.answer(choice, new_tokens)
                rates[choice is not None].append((new_tokens - 1) / seconds)
                prefills[choice is not None].append(prompt_tokens / prefill_seconds)
        for has_adapter, values in rates.items():
            run.report("decode", lora=has_adapter, **_spread("tokens_per_second", values))
        for has_adapter, values in prefills.items():
            rate = _spread("tokens_per_second", values)
            run.report("prefill", lora=has_adapter, num_tokens=prompt_tokens, **rate)
        switches, refills = [], []
        for choice in (None, adapter) * ROUNDS:
            _, prefill_seconds, switch_seconds = await talk.answer(choice, 1)
            switches.append(1e3 * switch_seconds)
            refills.append(1e3 * prefill_seconds)
        # The conversation so far is read again with the other weights: a cost of its own.
        run.report(
            "adapter_switch",
            num_tokens=prompt_tokens,
            **_spread("ms", switches),
            refill_ms=round(statistics.median(refills), 2),
        )
        run.report("adapter_swap", **_spread("ms", await _swap_times(model, adapter)))
    finally:
        generator.destroy()
        adapter.destroy()


class _Talk:
    """Answers to fresh prompts, so that no cache helps."""

    def __init__(
        self, run: BenchRun, model: Model, generator: Generator, prompt_tokens: int
    ) -> None:
        self._run = run
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
        result = await self._generator.generate(
            prompt,
            config,
            adapter=adapter,
            on_token=on_token,
            should_stop=lambda: self._run.control.stopped,
        )
        self._run.check()
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


def _spread(unit: str, values: list[float]) -> Figure:
    """Return the median and the extremes of some runs."""
    return {
        unit: round(statistics.median(values), 3),
        f"{unit}_low": round(min(values), 3),
        f"{unit}_high": round(max(values), 3),
    }


def _random_tokens(model: Model, count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.random.default_rng(0).integers(0, model.config.vocab_size, count, np.int32)
