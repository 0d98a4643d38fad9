"""Cases of the loss and of the optimizer."""

from __future__ import annotations

import numpy as np

from app.checks.bench import Array, Bench
from app.ops.adamw import AdamwState, adamw
from app.ops.cross_entropy import accumulate_loss, cross_entropy, head_loss
from app.ops.update import UpdateState, prepare_update
from app.reference import adamw as adamw_twin
from app.reference import cross_entropy as twin
from app.reference.tolerances import BACKWARD, ELEMENTWISE, EXACT, REDUCTION

IGNORED = twin.IGNORE_INDEX


def cross_entropy_case(
    bench: Bench,
    *,
    rows: int,
    vocab_size: int,
    scale: float = 1.0,
    ignored: tuple[int, ...] = (),
    first_row: int = 0,
    wants_gradient: bool = True,
) -> None:
    """Losses of single rows, and the gradient in place of the logits."""
    stride = -(-vocab_size // 8) * 8
    values = bench.normal(rows, stride, scale=scale)
    values[:, vocab_size:] = 1e4  # padding must not count, whatever it holds
    logits = bench.tensor("logits", values)
    bench.write(logits, values, launch=1)
    targets = bench.rng.integers(0, vocab_size, first_row + rows).astype(np.int32)
    targets[[first_row + row for row in ignored]] = IGNORED
    normalizer = 1 / 7
    losses = bench.tensor("losses", np.full(first_row + rows, 0.25, np.float32))
    cross_entropy(
        bench.graph,
        logits,
        bench.tensor("targets", targets),
        bench.tensor("normalizer", np.array([normalizer], np.float32)),
        losses,
        vocab_size=vocab_size,
        first_row=first_row,
        wants_gradient=wants_gradient,
    )
    identity = np.eye(vocab_size)
    expected = [
        twin.cross_entropy(
            values[row : row + 1, :vocab_size],
            identity,
            targets[first_row + row : first_row + row + 1],
            normalizer=7,
        )
        for row in range(rows)
    ]
    of_earlier_chunks = [0.25] * first_row
    expected_losses = np.array(of_earlier_chunks + [loss for loss, _ in expected])
    bench.expect("losses", losses, expected_losses, tolerance=REDUCTION)
    gradient = np.concatenate([gradient for _, gradient in expected])
    padded = np.pad(gradient, ((0, 0), (0, stride - vocab_size)))
    if wants_gradient:
        bench.expect("gradient", logits, padded, tolerance=REDUCTION)
    else:
        bench.expect("logits", logits, values, tolerance=EXACT)


def head_loss_case(
    bench: Bench,
    *,
    rows: int,
    columns: int,
    vocab_size: int,
    chunk_rows: int,
    gguf_type: str = "Q8_0",
    ignored: tuple[int, ...] = (),
    wants_gradient: bool = True,
) -> None:
    """The head's loss in chunks; a second launch adds its loss to the first one's."""
    hidden = bench.normal(rows, columns)
    head, values = bench.matrix(bench.normal(vocab_size, columns, scale=0.3), gguf_type)
    targets = bench.rng.integers(0, vocab_size, rows).astype(np.int32)
    targets[list(ignored)] = IGNORED
    count = max(1, rows - len(ignored))
    total = bench.tensor("total", np.array([0.5], np.float32))
    d_hidden = head_loss(
        bench.graph,
        bench.tensor("hidden", hidden),
        head,
        bench.tensor("targets", targets),
        bench.tensor("normalizer", np.array([1 / count], np.float32)),
        total,
        chunk_rows=chunk_rows,
        wants_gradient=wants_gradient,
    )
    loss, expected = twin.cross_entropy(hidden, values, targets, normalizer=count)
    sums = np.array([0.5 + loss]), np.array([0.5 + 2 * loss])
    bench.expect("loss", total, *sums, tolerance=REDUCTION)
    if d_hidden is not None:
        bench.expect("d_hidden", d_hidden, expected, tolerance=BACKWARD)


def accumulate_loss_case(bench: Bench, *, rows: int) -> None:
    """A sum that goes on at the second launch."""
    losses = bench.normal(rows)
    total = bench.tensor("total", np.array([2.0], np.float32))
    accumulate_loss(bench.graph, bench.tensor("losses", losses), total)
    added = losses.astype(np.float64).sum()
    bench.expect(
        "total", total, np.array([2 + added]), np.array([2 + 2 * added]), tolerance=REDUCTION
    )


def adamw_case(
    bench: Bench,
    *,
    size: int,
    steps: int = 4,
    max_norm: float = 0.0,
    weight_decay: float = 0.0,
    scale: float = 1.0,
    bad_steps: tuple[int, ...] = (),
    bad_value: float = np.nan,
    bad_loss: bool = False,
    updates_before: int = 0,
) -> None:
    """Several updates; a gradient or loss that is not finite must change nothing but a count.

    With `updates_before` the moments and the count are those of a run that is under way.
    """
    bench.launches = steps
    fast = size // 128 * 64  # from here on the learning rate is four times as large
    state = AdamwState.create(size, [(fast, size - fast, 4.0)])
    common = UpdateState.create(size)
    for tensor, rates in state.initial_values():
        bench.write(tensor, rates)
    values: Array = bench.normal(size)
    m: Array = bench.normal(size, scale=0.01 * scale)
    v: Array = bench.normal(size, scale=0.01 * scale) ** 2
    if not updates_before:
        m, v = np.zeros_like(m), np.zeros_like(v)
    last_good: Array = np.zeros_like(values)
    parameters, gradients = bench.tensor("parameters", values), bench.tensor("gradients", values)
    loss = bench.tensor("loss", np.zeros(1, np.float32))
    bench.write(state.first_moment, m)
    bench.write(state.second_moment, v)
    bench.write(common.counters, np.array([updates_before, 0], np.float32))
    applied, skipped = updates_before, 0
    after: dict[str, list[Array]] = {}
    for step in range(steps):
        learning_rate = 1e-2 / (step + 1)
        gradient = bench.normal(size, scale=scale)
        step_loss = 2.0 - step / 8
        is_bad = step in bad_steps
        if is_bad and bad_loss:
            step_loss = bad_value
        elif is_bad:
            gradient[size // 2] = bad_value
        settings = np.array([learning_rate, max_norm, weight_decay, 0], np.float32)
        bench.write(common.step, settings, step)
        bench.write(gradients, gradient, step)
        bench.write(loss, np.array([step_loss], np.float32), step)
        if is_bad:
            skipped += 1
        else:
            applied += 1
            last_good = values
            values, m, v = adamw_twin.adamw(
                values,
                gradient,
                m,
                v,
                step=applied,
                learning_rate=float(settings[0]) * np.where(np.arange(size) < fast, 1.0, 4.0),
                weight_decay=float(settings[2]),
                clip_scale=adamw_twin.clip_scale([gradient], float(settings[1])),
            )
        now = {
            "parameters": values,
            "first moment": m,
            "second moment": v,
            "last good": last_good,
            "counters": np.array([applied, skipped]),
            "gradients": np.zeros(size),
            "loss": np.zeros(1),
        }
        if not is_bad:
            norm = np.linalg.norm(gradient.astype(np.float64))
            now["report"] = np.array([step_loss, norm, applied, skipped])
        for name, array in now.items():
            after.setdefault(name, []).append(array)
    update = prepare_update(bench.graph, gradients, loss, common)
    adamw(bench.graph, update, parameters, gradients, common.last_good, state)
    tensors = {
        "parameters": parameters,
        "first moment": state.first_moment,
        "second moment": state.second_moment,
        "last good": common.last_good,
        "counters": common.counters,
        "gradients": gradients,
        "loss": loss,
    }
    for name, tensor in tensors.items():
        tolerance = EXACT if name in ("counters", "gradients", "loss") else ELEMENTWISE
        bench.expect(name, tensor, *after[name], tolerance=tolerance, starts_zeroed=True)
    if not bad_steps:
        bench.expect("report", common.report, *after["report"], tolerance=REDUCTION)
