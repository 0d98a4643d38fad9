"""A training step natively: PyTorch with PEFT, and the engine, at equal batch and window.

    python -m tests.bench.peers native

needs `pip install -e .[bench]`. Steps of PyTorch come before and after those of the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import peft
import torch
import transformers

from app.config import LoraConfig, ModelConfig, TrainConfig
from app.gpu.native import open_native_device
from app.models.random import named_shape, random_model
from app.nn.adapter import Adapter
from app.plan.probe import measure_fma_peak
from app.text.corpus import make_windows
from app.train.trainer import Trainer

Figure = dict[str, Any]

WARM_UP, STEPS = 2, 4


class TorchStep:
    """LoRA on every projection of a random Llama, AdamW, clipped: what the engine's step does."""

    def __init__(
        self, config: ModelConfig, device: str, dtype: torch.dtype, shape: tuple[int, int]
    ) -> None:
        names = {name: value for name, value in asdict(config).items() if name != "name"}
        names.pop("architecture")
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**names))
        lora = LoraConfig()
        self._model = peft.get_peft_model(
            model.to(device=device, dtype=dtype),
            peft.LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.target_modules)
            ),
        )
        self._model.train()
        self._trained = [p for p in self._model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, lr=1e-3, weight_decay=0.0)
        self._tokens = torch.randint(config.vocab_size, shape, device=device)
        self._device = device
        self.name = f"PyTorch + PEFT, {str(dtype).removeprefix('torch.')}, {device}"

    def run(self) -> float:
        """Take a step and return its seconds, the loss read back."""
        started = time.perf_counter()
        loss = self._model(input_ids=self._tokens, labels=self._tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        loss.item()
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


def native(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield tokens/s of training steps: one window of some rows, on a GPU four of them."""
    config = named_shape("smollm2-135m")
    has_cuda = torch.cuda.is_available()
    shape = (4 if has_cuda else 1, options.rows)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield {
        "bench": "about",
        "torch": torch.__version__,
        "peft": peft.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if has_cuda else None,
    }
    kinds = [("cpu", torch.float32)]
    if has_cuda:
        kinds = [("cuda", torch.float32), ("cuda", torch.bfloat16)]
    steps = [TorchStep(config, device, dtype, shape) for device, dtype in kinds]
    seconds: dict[str, list[float]] = {step.name: [] for step in steps}
    for step in steps:
        for _ in range(WARM_UP):
            step.run()
        seconds[step.name] += [step.run() for _ in range(STEPS)]
    adapter, times, peak = asyncio.run(engine_steps(config, shape))
    for step in steps:
        step.run()
        seconds[step.name] += [step.run() for _ in range(STEPS)]
    seconds[f"LoRA Lab INT4, {adapter}"] = times
    what = f"training step, {shape[0]} × {shape[1]} tokens"
    tokens = shape[0] * shape[1]
    for name, times in seconds.items():
        yield {
            "bench": "train_step",
            "name": name,
            "what": what,
            "peak_gflops": round(peak, 3),
            "tokens_per_second": round(tokens / statistics.median(times), 2),
            "tokens_per_second_low": round(tokens / max(times), 2),
            "tokens_per_second_high": round(tokens / min(times), 2),
        }


async def engine_steps(
    config: ModelConfig, shape: tuple[int, int]
) -> tuple[str, list[float], float]:
    """Return the adapter's name, seconds of steps, and the FMA peak in GFLOP/s."""
    device = await open_native_device()
    peak = await measure_fma_peak(device)
    model = random_model(device, config)
    adapter = Adapter.create(config, device, LoraConfig(), seed=0)
    num_sequences, seq_len = shape
    steps = WARM_UP + STEPS
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, steps * math.prod(shape))
    training = TrainConfig(
        max_seq_len=seq_len, micro_batch_size=num_sequences, steps=steps, eval_fraction=0.0
    )
    trainer = Trainer(model, adapter, make_windows(tokens.astype(np.int32), seq_len), training)
    seconds: list[float] = []
    try:
        await trainer.prepare()
        await trainer.run(lambda record: seconds.append(record.seconds))
    finally:
        trainer.destroy()
        adapter.destroy()
        model.destroy()
        name = device.info.name
        device.destroy()
    return name, seconds[WARM_UP:], peak.gflops
