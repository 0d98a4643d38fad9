"""Cases of the optimizers whose state is not plain f32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.checks.bench import Array, Bench
from app.ops.adafactor import AdafactorState, adafactor
from app.ops.adam8bit import BLOCK, MIN_CODED, Adam8bitState, adam8bit, dynamic_map
from app.ops.mask import mask, new_mask, pack_bits
from app.reference import adafactor as adafactor_twin
from app.reference import adam8bit as twin
from app.reference import mask as mask_twin
from app.reference.adamw import adamw
from app.reference.tolerances import ELEMENTWISE, EXACT

SKIPPED = 2
"""Update that is not applied, as after a loss that is not finite."""

RATES = (1.0, 4.0)
"""Factors of the learning rate, in turn."""

GAP = 64
"""Elements between tensors that belong to none: they must stay as they are."""


def adam8bit_case(
    bench: Bench, *, sizes: Sequence[int], steps: int = 3, weight_decay: float = 0.01
) -> None:
    """Several updates of tensors of some sizes, one of them skipped."""
    bench.launches = steps
    starts = np.cumsum([0, *(size + GAP for size in sizes)])
    tensors = [(int(start), size) for start, size in zip(starts, sizes, strict=False)]
    total = int(starts[-1])
    rates = {start: RATES[index % 2] for index, (start, _) in enumerate(tensors)}
    state = Adam8bitState.create([(start, size, rates[start]) for start, size in tensors])
    for tensor, words in state.initial_values():
        bench.write(tensor, words)
    values = bench.normal(total)
    parameters, gradients = bench.tensor("parameters", values), bench.tensor("gradients", values)
    update = bench.tensor("update", np.zeros(8, np.float32))
    last_good = bench.tensor("last good", np.zeros(total, np.float32))
    maps = dynamic_map(is_signed=True), dynamic_map(is_signed=False)
    zeros = [twin.quantize(np.zeros(1), code_values)[0][0] for code_values in maps]
    moments = {start: [np.zeros(size), np.zeros(size)] for start, size in tensors}
    codes = {start: [np.full(size, code) for code in zeros] for start, size in tensors}
    expected, good = values.astype(np.float64), np.zeros(total)
    after: dict[str, list[Array]] = {"parameters": [], "last good": [], "codes": []}
    applied = 0
    for step in range(steps):
        gradient = bench.normal(total, scale=10.0**-step)
        is_applied = step != SKIPPED
        applied += is_applied
        clip, rate = np.float32(0.5), np.float32(1e-2 / (step + 1))
        corrections = [1 - 0.9**applied, 1 - 0.999**applied]
        settings = [is_applied, clip, rate, weight_decay, *corrections, 0, 0]
        bench.write(update, np.array(settings, np.float32), step)
        bench.write(gradients, gradient, step)
        for start, size in tensors if is_applied else ():
            part = slice(start, start + size)
            good[part] = expected[part]
            expected[part], *moments[start] = adamw(
                expected[part],
                gradient[part],
                *moments[start],
                step=applied,
                learning_rate=float(rate) * rates[start],
                weight_decay=float(np.float32(weight_decay)),
                clip_scale=float(clip),
            )
            if size >= MIN_CODED:
                packed = [twin.quantize(*pair) for pair in zip(moments[start], maps, strict=True)]
                codes[start] = [found for found, _ in packed]
                moments[start] = [
                    twin.dequantize(*found, code_values)
                    for found, code_values in zip(packed, maps, strict=True)
                ]
        after["parameters"].append(expected.copy())
        after["last good"].append(good.copy())
        rows = [
            [codes[start][row] for start, size in tensors if size >= MIN_CODED] for row in (0, 1)
        ]
        if rows[0]:
            after["codes"].append(np.array([np.concatenate(row) for row in rows]).view(np.uint32))
    adam8bit(bench.graph, update, parameters, gradients, last_good, state)
    bench.expect("parameters", parameters, *after["parameters"], tolerance=ELEMENTWISE)
    bench.expect("last good", last_good, *after["last good"], tolerance=ELEMENTWISE)
    if after["codes"] and all(size % BLOCK == 0 for size in sizes if size >= MIN_CODED):
        bench.expect("codes", state.codes, *after["codes"], tolerance=EXACT)


def adafactor_case(
    bench: Bench,
    *,
    shapes: Sequence[tuple[int, int]],
    steps: int = 4,
    weight_decay: float = 0.01,
    scale: float = 1.0,
) -> None:
    """Several updates of matrices of some shapes, one of them skipped."""
    bench.launches = steps
    starts = np.cumsum([0, *(rows * columns + GAP for rows, columns in shapes)]).tolist()
    matrices = [(start, *shape) for start, shape in zip(starts, shapes, strict=False)]
    rates = {entry[0]: RATES[index % 2] for index, entry in enumerate(matrices)}
    state = AdafactorState.create([(*entry, rates[entry[0]]) for entry in matrices])
    for tensor, words in state.initial_values():
        bench.write(tensor, words)
    bench.write(state.means, np.zeros(state.means.shape, np.float32))
    values = bench.normal(starts[-1])
    parameters, gradients = bench.tensor("parameters", values), bench.tensor("gradients", values)
    update = bench.tensor("update", np.zeros(8, np.float32))
    last_good = bench.tensor("last good", np.zeros(starts[-1], np.float32))
    means = {start: [np.zeros(rows), np.zeros(columns)] for start, rows, columns in matrices}
    expected, good = values.astype(np.float64), np.zeros(starts[-1])
    after: dict[str, list[Array]] = {"parameters": [], "last good": []}
    applied = 0
    for step in range(steps):
        gradient = bench.normal(starts[-1], scale=scale * 3.0**-step)
        is_applied = step != SKIPPED
        applied += is_applied
        clip, rate = np.float32(0.5), np.float32(1e-2 / (step + 1))
        settings = [is_applied, clip, rate, weight_decay, 1, 1, applied, 0]
        bench.write(update, np.array(settings, np.float32), step)
        bench.write(gradients, gradient, step)
        for start, rows, columns in matrices if is_applied else ():
            part = slice(start, start + rows * columns)
            good[part] = expected[part]
            new, *means[start] = adafactor_twin.adafactor(
                expected[part].reshape(rows, columns),
                gradient[part].reshape(rows, columns),
                *means[start],
                step=applied,
                learning_rate=float(rate) * rates[start],
                weight_decay=float(np.float32(weight_decay)),
                clip_scale=float(clip),
            )
            expected[part] = new.reshape(-1)
        after["parameters"].append(expected.copy())
        after["last good"].append(good.copy())
    adafactor(bench.graph, update, parameters, gradients, last_good, state)
    bench.expect("parameters", parameters, *after["parameters"], tolerance=ELEMENTWISE)
    bench.expect("last good", last_good, *after["last good"], tolerance=ELEMENTWISE)


def mask_case(bench: Bench, *, size: int) -> None:
    """Half of the elements, even those that are not finite."""
    values, is_kept = bench.normal(size), bench.rng.random(size) < 0.5
    values[~is_kept] = np.nan
    tensor = bench.tensor("values", values)
    bits = new_mask("bits", size)
    bench.write(bits, pack_bits(is_kept))
    mask(bench.graph, tensor, bits)
    bench.expect("values", tensor, mask_twin.mask(values, is_kept), tolerance=EXACT)
