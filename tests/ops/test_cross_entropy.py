"""The loss, its gradient in place of the logits, and the head in chunks of rows."""

from __future__ import annotations

from typing import Any

import pytest

from app.checks.training import accumulate_loss_case, cross_entropy_case, head_loss_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.cross_entropy import cross_entropy
from tests.ops.helpers import TUNINGS, check

HEADS: dict[str, dict[str, Any]] = {
    "one-row": {"rows": 1, "columns": 32, "vocab_size": 5, "chunk_rows": 8},
    "padded": {"rows": 21, "columns": 64, "vocab_size": 61, "chunk_rows": 8, "ignored": (0, 20)},
    "one-chunk": {"rows": 16, "columns": 64, "vocab_size": 320, "chunk_rows": 64},
    "all-ignored": {"rows": 3, "columns": 32, "vocab_size": 40, "chunk_rows": 8}
    | {"ignored": (0, 1, 2)},
    "int4": {"rows": 11, "columns": 96, "vocab_size": 203, "chunk_rows": 8, "gguf_type": "Q4_1"},
    "real-vocabulary": {"rows": 18, "columns": 32, "vocab_size": 49152, "chunk_rows": 8},
}


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [1.0, 50.0])
@pytest.mark.parametrize(("rows", "vocab_size"), [(1, 1), (3, 5), (13, 320), (7, 509)])
def test_cross_entropy(device: Device, rows: int, vocab_size: int, scale: float) -> None:
    check(device, cross_entropy_case, rows=rows, vocab_size=vocab_size, scale=scale)


@pytest.mark.gpu
@pytest.mark.parametrize("wants_gradient", [False, True])
def test_ignored_targets_of_a_later_chunk(device: Device, wants_gradient: bool) -> None:
    shape = {"rows": 5, "vocab_size": 61, "ignored": (0, 3), "first_row": 4}
    check(device, cross_entropy_case, **shape, wants_gradient=wants_gradient)


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("head", HEADS)
def test_head_loss(device: Device, head: str, tuning: str) -> None:
    check(device, head_loss_case, tuning, **HEADS[head])


@pytest.mark.gpu
def test_head_loss_for_evaluation(device: Device) -> None:
    check(device, head_loss_case, **HEADS["padded"], wants_gradient=False)


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 63, 64, 1009])
def test_accumulate_loss(device: Device, rows: int) -> None:
    check(device, accumulate_loss_case, rows=rows)


def test_refuses_too_few_targets() -> None:
    logits = persistent("logits", (3, 8), "scratch")
    targets = persistent("targets", (6,), "scratch", "i32")
    normalizer = persistent("normalizer", (1,), "scratch")
    losses = persistent("losses", (9,), "scratch")
    with pytest.raises(ShapeError, match="6 targets and 9 losses for rows 4 to 7"):
        cross_entropy(Graph("g"), logits, targets, normalizer, losses, vocab_size=8, first_row=4)
