"""Symbolic tensors, recorded dispatches, shader sources."""

from __future__ import annotations

import struct

import pytest

from app.errors import ShapeError
from app.gpu.device import MAX_SUBMIT_DISPATCHES, MAX_SUBMIT_MS, split_points
from app.gpu.graph import Graph, grid_1d, persistent
from app.gpu.kernels import Kernel


def test_rows_share_the_storage() -> None:
    tensor = persistent("x", (24, 64), "scratch")
    part = tensor.rows(8, 20)
    assert part.shape == (12, 64)
    assert part.storage is tensor.storage
    assert part.offset_bytes == 8 * 64 * 4
    assert part.rows(4, 12).offset_bytes == 12 * 64 * 4
    assert part.size_bytes == 12 * 64 * 4


@pytest.mark.parametrize(("start", "stop"), [(0, 25), (3, 3), (-8, 8), (20, 8)])
def test_rows_outside_are_refused(start: int, stop: int) -> None:
    with pytest.raises(ShapeError, match=rf"rows {start} to {stop} of x \(24, 64\)"):
        persistent("x", (24, 64), "scratch").rows(start, stop)


def test_rows_off_the_binding_alignment_are_refused() -> None:
    with pytest.raises(ShapeError, match="multiple of 256 bytes"):
        persistent("x", (24, 36), "scratch").rows(1, 4)


def test_reshape_keeps_the_elements() -> None:
    tensor = persistent("x", (24, 64), "scratch").rows(8, 16)
    assert tensor.reshape(512).offset_bytes == tensor.offset_bytes
    with pytest.raises(ShapeError, match=r"x has 512 elements, not \(500,\)"):
        tensor.reshape(500)


def test_params_are_packed_by_type() -> None:
    graph = Graph("g")
    graph.dispatch(Kernel("swiglu"), (), (1, 1, 1), (7, 0.5, 0xFFFFFFFF, -1.0), flops=3.0)
    graph.dispatch(Kernel("swiglu"), (), (1, 1, 1), flops=4.0)
    assert graph.nodes[0].params == struct.pack("<IfIf", 7, 0.5, 0xFFFFFFFF, -1.0)
    assert graph.nodes[1].params == b""
    assert graph.flops == 7.0


@pytest.mark.parametrize("total", [0, 1, 64, 65, 65535 * 64, 65535 * 64 + 1, 10**8])
def test_grids_cover_their_count(total: int) -> None:
    width, height, depth = grid_1d(total, 64)
    assert width * height * depth * 64 >= total
    assert 1 <= width <= 65535
    assert 1 <= height <= 65535
    assert (width * height - 1) * 64 <= max(total, 1) + 64 * height


def test_kernels_are_their_preludes_and_their_shader() -> None:
    kernel = Kernel("linear", ("weights_int4",), (("LANES", 16),))
    source = kernel.source()
    assert kernel.label == source.label == "linear(weights_int4, LANES=16)"
    assert source.entry_point == "linear"
    assert source.constants == (("LANES", 16),)
    assert source.code.index("fn dequantize") < source.code.index("fn linear(")
    assert Kernel("swiglu").label == "swiglu"


def test_submits_are_short() -> None:
    budget = 10.0 * MAX_SUBMIT_MS
    assert split_points([], 10.0) == []
    assert split_points([budget / 2] * 5, 10.0) == [2, 4, 5]
    assert split_points([3 * budget, 1.0, 3 * budget], 10.0) == [1, 2, 3]
    assert split_points([0.0] * (2 * MAX_SUBMIT_DISPATCHES + 1), 10.0) == [
        MAX_SUBMIT_DISPATCHES,
        2 * MAX_SUBMIT_DISPATCHES,
        2 * MAX_SUBMIT_DISPATCHES + 1,
    ]
