"""Loss and perplexity of a text, with the adapter or without."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.gpu.graph import ceil_div, persistent
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.text.windows import Windows, batches, pad_batch
from app.train.control import RunControl
from app.train.step import check_context, record_evaluation

MAX_TOKENS_TOGETHER = 1024


def batch_shape(windows: Windows, most: int | None = None) -> tuple[int, int]:
    """Return how many windows are read together, and the tokens of each.

    Batches of equal size: a last one that is half empty would cost as much as a full one.

    Args:
        windows: To be read.
        most: Windows together at most; by default as many as make MAX_TOKENS_TOGETHER.
    """
    seq_len = int(windows.lengths.max())
    together = max(1, MAX_TOKENS_TOGETHER // seq_len)
    num_batches = ceil_div(windows.num_windows, min(together, most or together))
    return ceil_div(windows.num_windows, num_batches), seq_len


@dataclass(frozen=True)
class EvalResult:
    """Mean negative log-likelihood in nats over all predicted tokens, and e to its power."""

    loss: float
    perplexity: float
    num_tokens: int
    num_predicted: int


async def evaluate(
    model: Model,
    adapter: Adapter | None,
    windows: Windows,
    control: RunControl | None = None,
    on_progress: Callable[[float], None] | None = None,
    *,
    strength: float = 1.0,
    most_together: int | None = None,
    on_window: Callable[[int, NDArray[np.float32]], None] | None = None,
) -> EvalResult | None:
    """Compute the loss of some windows.

    Args:
        model: Base.
        adapter: Applied where given.
        windows: A window of n tokens predicts n − 1.
        control: To stop from elsewhere.
        on_progress: Called with the share done.
        strength: Factor of the adapter's scale; with 0 it is left out.
        most_together: Windows read at once, at most.
        on_window: Called with each window's number and the loss at each of its positions, in
            nats: of the token after it, 0 where none is predicted.

    Returns:
        The result, or None where it was stopped.

    Raises:
        ConfigError: windows longer than the model's context.
        OutOfGpuMemoryError: the windows do not fit the device.
    """
    check_context(model, windows)
    device = model.device
    together, seq_len = batch_shape(windows, most_together)
    losses = persistent("losses", (together * seq_len,), "scratch") if on_window else None
    graph, inputs = record_evaluation(
        model,
        adapter if strength else None,
        num_sequences=together,
        seq_len=seq_len,
        is_packed=windows.is_packed,
        strength=strength,
        losses=losses,
    )
    allocation = Allocation.create(device, plan_memory([graph]))
    try:
        program = (await build_programs(device, [graph], allocation))[0]
        total = 0.0
        parts = batches(np.arange(windows.num_windows), together)
        for index, part in enumerate(parts):
            # Sums of one micro-batch fit f32; the sum over all of them is kept in f64 here.
            inputs.write(device, pad_batch(windows, part, together, seq_len), 1.0)
            device.write(inputs.total.storage.buffer, 0, np.zeros(1, np.float32))
            if not await device.run(program, control):
                return None
            data = await device.read(inputs.total.storage.buffer, 0, 4)
            total += float(np.frombuffer(data, np.float32)[0])
            if on_window and losses is not None:
                data = await device.read(losses.storage.buffer, 0, losses.size_bytes)
                rows = np.frombuffer(data, np.float32).reshape(together, seq_len)
                for row, window in zip(rows, part, strict=False):
                    on_window(int(window), row[: windows.lengths[window]])
            if on_progress:
                on_progress((index + 1) / len(parts))
    finally:
        allocation.destroy()
    loss = total / windows.num_predicted
    perplexity = math.exp(loss) if loss < 700 else math.inf
    return EvalResult(loss, perplexity, windows.num_tokens, windows.num_predicted)
