"""The kernels that measure a device do the work they are counted for."""

from __future__ import annotations

import pytest

from app.checks.bench import Bench
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.peak import ADDEND, CHAINS, FACTOR, UNROLL, copy, fma_peak
from app.reference import peak as twin
from tests.ops.helpers import check
from tests.tolerances import ELEMENTWISE, EXACT


def fma_case(bench: Bench, *, invocations: int, chains: int, rounds: int) -> None:
    x = bench.normal(invocations, 4, scale=10.0)
    y = fma_peak(bench.graph, bench.tensor("x", x), chains=chains, rounds=rounds)
    expected = twin.fma_peak(x, chains=chains, steps=UNROLL * rounds, factor=FACTOR, addend=ADDEND)
    bench.expect("y", y, expected, tolerance=ELEMENTWISE)


def copy_case(bench: Bench, *, rows: int) -> None:
    x = bench.normal(rows, 4)
    bench.expect("y", copy(bench.graph, bench.tensor("x", x)), x, tolerance=EXACT)


@pytest.mark.gpu
@pytest.mark.parametrize("chains", CHAINS)
@pytest.mark.parametrize(("invocations", "rounds"), [(64, 1), (192, 3)])
def test_every_multiply_add_counts(
    device: Device, invocations: int, chains: int, rounds: int
) -> None:
    check(device, fma_case, invocations=invocations, chains=chains, rounds=rounds)


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 67, 5000])
def test_copy(device: Device, rows: int) -> None:
    check(device, copy_case, rows=rows)


def test_flops_are_those_of_the_shader() -> None:
    graph = Graph("g")
    x = persistent("x", (128, 4), "scratch")
    fma_peak(graph, x, chains=3, rounds=2)
    # 128 invocations, 3 vec4, 64 multiply-adds of two operations each
    assert graph.flops == 128 * 3 * 4 * 64 * 2


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="a multiple of 64 invocations"):
        fma_peak(Graph("g"), persistent("x", (65, 4), "scratch"), chains=2, rounds=1)
    with pytest.raises(ShapeError, match="4 chains"):
        fma_peak(Graph("g"), persistent("x", (64, 4), "scratch"), chains=4, rounds=1)
    with pytest.raises(ShapeError, match="multiple of 4"):
        copy(Graph("g"), persistent("x", (5,), "scratch"))
