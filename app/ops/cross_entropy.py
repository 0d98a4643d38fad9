"""The head and its loss, in chunks of rows, with the gradient computed in the forward."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor
from app.gpu.kernels import Kernel
from app.ops.gradient import linear_gradient
from app.ops.linear import linear, linear_backward
from app.ops.matrix import Matrix

LOSS_ROWS = 64
"""Rows of logits that exist at once, where a chunk has no more of its own."""


def cross_entropy(
    graph: Graph,
    logits: Tensor,
    targets: Tensor,
    normalizer: Tensor,
    losses: Tensor,
    *,
    vocab_size: int,
    first_row: int = 0,
    wants_gradient: bool = True,
) -> None:
    """Record losses = (logsumexp(z) − z[target]) · normalizer; z becomes its gradient.

    Args:
        graph: Where to record.
        logits: (rows, stride), stride ≥ vocab_size; overwritten with the gradient.
        targets: (all rows,), i32; negative ones are ignored.
        normalizer: (1,), f32: 1 / predicted tokens of the step.
        losses: (all rows,), f32: those of these rows are written; zero where ignored.
        vocab_size: Columns that count.
        first_row: Which of the targets and losses belongs to the first row of logits.
        wants_gradient: False leaves the logits as they are.

    Raises:
        ShapeError: there are fewer targets or losses than rows.

    Reference: app.reference.cross_entropy.
    """
    rows, stride = logits.shape
    if min(targets.size, losses.size) < first_row + rows:
        raise ShapeError(
            f"{targets.size} targets and {losses.size} losses for rows {first_row} to "
            f"{first_row + rows}: give one a row"
        )
    graph.dispatch(
        Kernel("cross_entropy"),
        (targets, normalizer, logits, losses),
        (rows, 1, 1),
        (vocab_size, stride, first_row, int(wants_gradient)),
        flops=60.0 * logits.size,
    )


def accumulate_loss(graph: Graph, losses: Tensor, total: Tensor) -> None:
    """Record total[0] += Σ losses, in a fixed order."""
    graph.dispatch(
        Kernel("accumulate_loss"), (losses, total), (1, 1, 1), (losses.size,), flops=losses.size
    )


def head_loss(
    graph: Graph,
    hidden: Tensor,
    head: Matrix,
    targets: Tensor,
    normalizer: Tensor,
    total: Tensor,
    *,
    chunk_rows: int,
    wants_gradient: bool = True,
    d_head: Tensor | None = None,
    losses: Tensor | None = None,
) -> Tensor | None:
    """Record logits, loss and the gradient of the hidden states, a chunk of rows at a time.

    Only max(chunk_rows, LOSS_ROWS) · vocab_size logits exist at once. A frozen head needs no
    gradient of its own, so two products a chunk are all; a head that is trained takes a third.
    The losses are summed once, at the end.

    Args:
        graph: Where to record.
        hidden: (rows, hidden_size), normed.
        head: (vocab_size, hidden_size), packed.
        targets: (rows,), i32; negative ones are ignored.
        normalizer: (1,), f32: 1 / predicted tokens of the step.
        total: (1,), f32: the sum of losses is added.
        chunk_rows: Rows of a product, a multiple of 8.
        wants_gradient: False for evaluation.
        d_head: (hidden_size, head.stride), f32: where the gradient of the head is added.
        losses: (rows,), f32: where each row's loss is to be found afterwards.

    Returns:
        d_hidden, (rows, hidden_size), or None.

    Reference: app.reference.cross_entropy.
    """
    rows, columns = hidden.shape
    d_hidden = graph.empty("head_gradient", rows, columns) if wants_gradient else None
    if losses is None:
        losses = graph.empty("losses", rows)
    # Small products are for submits to be short: their losses may still be computed together.
    together = max(1, LOSS_ROWS // chunk_rows) * chunk_rows
    for start in range(0, rows, together):
        stop = min(start + together, rows)
        chunks = [
            (first, min(first + chunk_rows, stop)) for first in range(start, stop, chunk_rows)
        ]
        logits = graph.empty("logits", stop - start, head.stride)
        for first, last in chunks:
            part = logits.rows(first - start, last - start)
            linear(graph, hidden.rows(first, last), head, out=part)
        cross_entropy(
            graph,
            logits,
            targets,
            normalizer,
            losses,
            vocab_size=head.num_rows,
            first_row=start,
            wants_gradient=wants_gradient,
        )
        if d_hidden is not None:
            for first, last in chunks:
                part = logits.rows(first - start, last - start)
                linear_backward(graph, part, head, out=d_hidden.rows(first, last))
        if d_head is not None:
            linear_gradient(graph, logits, hidden.rows(start, stop), d_head)
    accumulate_loss(graph, losses, total)
    return d_hidden
