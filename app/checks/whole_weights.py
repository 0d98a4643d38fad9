"""Cases of the optimizers of whole weights, and of taking their updates off."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from app.checks.bench import Array, Bench
from app.gpu.graph import Graph, Tensor
from app.ops import delta as ops
from app.ops.adam8bit import dynamic_map
from app.ops.apply import apply_f32
from app.ops.update import UpdateState, prepare_updates
from app.reference import adam8bit as adam8bit_twin
from app.reference import adamw as adamw_twin
from app.reference.adafactor import adafactor
from app.reference.tolerances import ELEMENTWISE, EXACT, REDUCTION

Float64 = npt.NDArray[np.float64]
Update = Callable[[Float64, int, float], Float64]
"""Gradient after clipping, t, learning rate → what is taken off the weight, in float64."""

SKIPPED = 2
"""Update that is not applied, as after a loss that is not finite."""


def adamw_update(shape: tuple[int, ...]) -> Update:
    """Return AdamW in float64 for one tensor, moments and all."""
    state = [np.zeros(shape), np.zeros(shape)]

    def update(gradient: Float64, step: int, learning_rate: float) -> Float64:
        taken, *state[:] = adamw_twin.adamw(
            np.zeros(shape),
            gradient,
            *state,
            step=step,
            learning_rate=learning_rate,
            weight_decay=0,
        )
        return -taken

    return update


def adam8bit_update(shape: tuple[int, ...]) -> Update:
    """Return AdamW with eight-bit moments for one tensor."""
    maps = [dynamic_map(is_signed=is_signed) for is_signed in (True, False)]
    size = int(np.prod(shape))
    state = [adam8bit_twin.quantize(np.zeros(size), code_values) for code_values in maps]

    def update(gradient: Float64, step: int, learning_rate: float) -> Float64:
        taken, *moments = adam8bit_twin.adam8bit(
            np.zeros(size),
            gradient.reshape(-1),
            state[0],
            state[1],
            (maps[0], maps[1]),
            step=step,
            learning_rate=learning_rate,
            weight_decay=0,
        )
        state[:] = [adam8bit_twin.quantize(*pair) for pair in zip(moments, maps, strict=True)]
        return -taken.reshape(shape)

    return update


def adafactor_update(shape: tuple[int, ...]) -> Update:
    """Return Adafactor in float64 for one matrix."""
    state = [np.zeros(shape[0]), np.zeros(shape[1])]

    def update(gradient: Float64, step: int, learning_rate: float) -> Float64:
        taken, *state[:] = adafactor(
            np.zeros(shape),
            gradient,
            *state,
            step=step,
            learning_rate=learning_rate,
            weight_decay=0,
        )
        return -taken

    return update


UPDATES = {"adamw": adamw_update, "adam8bit": adam8bit_update, "adafactor": adafactor_update}


def record_delta(
    bench: Bench, graph: Graph, name: str, update: Tensor, gradient: Tensor, num_columns: int
) -> None:
    """Record the optimizer of one matrix, with a fresh state."""
    if name == "adamw":
        ops.adamw_delta(graph, update, gradient, ops.AdamwMoments.create(gradient))
    elif name == "adam8bit":
        maps = ops.new_maps()
        bench.write(maps, ops.map_words())
        ops.adam8bit_delta(graph, update, gradient, ops.Adam8bitMoments.create(gradient, maps))
    else:
        state = ops.AdafactorMeans.create(gradient, num_columns)
        ops.adafactor_delta(graph, update, gradient, state)


def weight_update_case(
    bench: Bench, *, optimizer: str, rows: int, columns: int, steps: int = 4
) -> None:
    """Several updates of an f32 matrix (rows, columns) as it is packed, one of them skipped."""
    bench.launches = steps
    stride = -(-rows // 8) * 8
    values = np.pad(bench.normal(columns, rows), ((0, 0), (0, stride - rows)))
    weights, gradient = bench.tensor("weights", values), bench.tensor("gradient", values)
    update = bench.tensor("update", np.zeros(8, np.float32))
    # Blocks of eight-bit moments know nothing of padding, the means of Adafactor do.
    own = UPDATES[optimizer]((columns, rows) if optimizer == "adafactor" else values.shape)
    expected, after, applied = values.astype(np.float64), [], 0
    for step in range(steps):
        drawn = np.zeros_like(values)
        drawn[:, :rows] = bench.normal(columns, rows, scale=3.0**-step)
        is_applied = step != SKIPPED
        applied += is_applied
        clip, rate, decay = np.float32(0.5), np.float32(1e-2 / (step + 1)), np.float32(0.01)
        corrections = [1 - 0.9**applied, 1 - 0.999**applied]
        settings = [is_applied, clip, rate, decay, *corrections, applied, 0]
        bench.write(update, np.array(settings, np.float32), step)
        bench.write(gradient, drawn, step)
        if is_applied:
            wide = rows if optimizer == "adafactor" else stride
            expected = expected * (1 - float(rate) * float(decay))
            clipped = float(clip) * drawn[:, :wide].astype(np.float64)
            expected[:, :wide] -= own(clipped, applied, float(rate))
        after.append(expected.copy())
    record_delta(bench, bench.graph, optimizer, update, gradient, rows)
    apply_f32(bench.graph, update, weights, gradient)
    bench.expect("weights", weights, *after, tolerance=ELEMENTWISE)
    bench.expect("gradient", gradient, np.zeros_like(values), tolerance=EXACT)


def joint_norm_case(bench: Bench, *, sizes: Sequence[int]) -> None:
    """The norm of several tensors together, and the clipping by it."""
    drawn = [bench.normal(size) for size in sizes]
    gradients = [
        bench.tensor(f"gradient {size}", values) for size, values in zip(sizes, drawn, strict=True)
    ]
    state = UpdateState.create(1)
    loss = bench.tensor("loss", np.zeros(1, np.float32))
    bench.write(state.step, np.array([0.25, 1.5, 0.125, 0], np.float32))
    bench.write(state.counters, np.zeros(2, np.float32))
    for launch in range(bench.launches):
        bench.write(loss, np.array([2.5], np.float32), launch)
    update = prepare_updates(bench.graph, gradients, loss, state)
    norm = float(np.sqrt(sum(np.sum(values.astype(np.float64) ** 2) for values in drawn)))
    clip = adamw_twin.clip_scale(drawn, 1.5)
    updates: list[Array] = [
        np.array([1, clip, 0.25, 0.125, 1 - 0.9**t, 1 - 0.999**t, t]) for t in (1, 2)
    ]
    used = Tensor((7,), update.storage)
    bench.expect("update", used, *updates, tolerance=REDUCTION)
    reports = [np.array([2.5, norm, t, 0]) for t in (1, 2)]
    bench.expect("report", state.report, *reports, tolerance=REDUCTION)
