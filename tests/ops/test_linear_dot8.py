"""The product whose left operand is rounded to eight bits a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.checks.bench import record, run_bench
from app.checks.dot8 import linear_dot8_case, quantize_rows_case
from app.errors import ShapeError
from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.device import Device
from app.gpu.features import PACKED_DOT
from app.gpu.graph import Graph, persistent
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.gpu.tuning import SOFTWARE, Choice, choose
from app.ops.linear_dot8 import decode_choices, linear_dot8, prefill_choices, quantize_rows
from app.ops.matrix import new_matrix
from app.reference import linear_dot8 as twin
from tests.conftest import run
from tests.ops.helpers import check
from tests.tolerances import QUANTIZED_NMSE

CHOICES = {
    "direct": choose("linear_dot8", "operand_direct", LANES=8),
    "wide": choose("linear_dot8", "operand_direct", LANES=32),
    "subgroup": choose("linear_dot8", "operand_subgroup", LANES=16),
    "tile": choose("linear_dot8_tile", OCTETS=8),
    "small tile": choose("linear_dot8_tile", OCTETS=2),
    "vector": choose("linear_dot8_vector", LANES=8, SLICES=1),
    "sliced": choose("linear_dot8_vector", LANES=8, SLICES=8),
}
ROWS = (1, 2, 7, 8, 13, 64)
MODULES: dict[str, dict[str, Any]] = {
    "one": {"outs": (24,), "columns": 96, "rank": 3},
    "two": {"outs": (40, 24), "columns": 32, "rank": 4},
    "three": {"outs": (72, 24, 8), "columns": 160, "rank": 5},
    "rank-1": {"outs": (8,), "columns": 64, "rank": 1},
    "rank-16": {"outs": (64, 64), "columns": 64, "rank": 16},
}
PLAIN = ((1, 32), (13, 96), (20, 160), (40, 64), (264, 544))
"""(out, in): one row, a prime, not a multiple of the tile, of two quads, of many tiles."""

ORDINARY_NMSE = 5e-5
"""Of normal rows: 2.8e-5 in float64. With an element 300 times the others in an eighth of all
groups, which rounds away what else is in them, it is 1.2e-4."""


@pytest.fixture(params=CHOICES)
def choice(request: pytest.FixtureRequest, device: Device) -> Choice:
    """Each way to compute it that the device can."""
    found = CHOICES[request.param]
    if "operand_subgroup" in found.preludes and device.info.subgroup_size < 8:
        pytest.skip("this adapter's subgroups are too small, or their size is not known")
    return found


def measure(device: Device, x: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the codes, (T, K), and scales with sums, (T, K / 32, 2), that the device finds."""
    graph = Graph("quantize", SOFTWARE)
    tensor = persistent("x", x.shape, "scratch")
    results = quantize_rows(graph, tensor)
    for result in results:
        result.storage.is_transient = False

    async def measure_it() -> list[bytes]:
        allocation = Allocation.create(device, plan_memory([graph]))
        (program,) = await build_programs(device, [graph], allocation)
        device.write(allocation.buffer_of(tensor.storage), 0, x)
        await device.run(program)
        found = [
            await device.read(allocation.buffer_of(item.storage), 0, item.size_bytes)
            for item in results
        ]
        allocation.destroy()
        return found

    codes, scales = run(measure_it())
    return (
        np.frombuffer(codes, np.int8).reshape(x.shape),
        np.frombuffer(scales, np.float32).reshape(len(x), -1, 2),
    )


@pytest.mark.gpu
@pytest.mark.parametrize("columns", [32, 96, 576])
@pytest.mark.parametrize("rows", ROWS)
def test_rounding(device: Device, rows: int, columns: int) -> None:
    check(device, quantize_rows_case, rows=rows, columns=columns)


@pytest.mark.gpu
def test_ties_go_to_the_even_step(device: Device) -> None:
    x = np.zeros((1, 32), np.float32)
    x[0, :9] = [127, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -126.5, 0.25]
    codes, scales = measure(device, x)
    assert codes[0, :9].tolist() == [127, 0, 2, 2, 0, -2, 126, -126, 0]
    assert scales[0, 0].tolist() == [1.0, 127 + 2 + 2 - 2]


@pytest.mark.gpu
def test_zeros_and_the_smallest_are_zeros(device: Device) -> None:
    x = np.zeros((3, 32), np.float32)
    x[1, 3], x[2, 3] = 1e-37, -1e-30
    codes, scales = measure(device, x)
    assert codes[:2].tolist() == np.zeros((2, 32)).tolist()
    assert scales[:2].tolist() == np.zeros((2, 1, 2)).tolist()
    assert codes[2, 3] == -127
    np.testing.assert_allclose(scales[2, 0], [1e-30 / 127, -127], rtol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_hidden(device: Device, bad: float) -> None:
    x = np.ones((2, 64), np.float32)
    x[1, 40] = bad
    _, scales = measure(device, x)
    assert not np.isfinite(scales[1, 1, 0])
    assert np.isfinite(scales[0]).all()
    assert np.isfinite(scales[1, 0]).all()


@pytest.mark.gpu
@pytest.mark.parametrize("gguf_type", ["Q4_0", "Q4_1", "Q8_0"])
@pytest.mark.parametrize("rows", ROWS)
def test_product(device: Device, rows: int, gguf_type: str, choice: Choice) -> None:
    for out, columns in PLAIN:
        shape: dict[str, Any] = {"rows": rows, "columns": columns, "outs": (out,)}
        check(device, linear_dot8_case, choice=choice, gguf_type=gguf_type, **shape)


@pytest.mark.gpu
@pytest.mark.parametrize("has_residual", [False, True], ids=["", "residual"])
@pytest.mark.parametrize("modules", MODULES)
@pytest.mark.parametrize("rows", ROWS)
def test_adapter_is_added_unrounded(
    device: Device, rows: int, modules: str, has_residual: bool, choice: Choice
) -> None:
    shape: dict[str, Any] = {
        "rows": rows,
        "gguf_type": "Q4_1",
        "has_residual": has_residual,
    } | MODULES[modules]
    check(device, linear_dot8_case, choice=choice, **shape)


@pytest.mark.gpu
@pytest.mark.parametrize("has_outliers", [False, True], ids=["", "outliers"])
@pytest.mark.parametrize(("out", "columns"), [(3072, 576), (576, 1536)])
def test_error_against_the_exact_product(
    device: Device, out: int, columns: int, has_outliers: bool, choice: Choice
) -> None:
    shape = {"rows": 19, "columns": columns, "outs": (out,), "gguf_type": "Q4_1"}
    bench = record(
        linear_dot8_case,
        SOFTWARE,
        3,
        choice=choice,
        is_exact=True,
        has_outliers=has_outliers,
        **shape,
    )
    for comparison in run(run_bench(device, bench)):
        assert comparison.nmse <= (QUANTIZED_NMSE if has_outliers else ORDINARY_NMSE)


def test_rounding_error_is_at_most_half_a_step() -> None:
    x = np.random.default_rng(2).standard_normal((5, 96)) * 10.0 ** np.arange(-2, 3)[:, None]
    q, scale = twin.quantize_rows(x)
    assert np.abs(q).max() == twin.LARGEST
    steps = np.repeat(scale, twin.GROUP_SIZE, axis=-1)
    assert (np.abs(twin.rounded(x) - x) <= steps * (0.5 + 1e-9)).all()


def test_refuses_what_does_not_fit() -> None:
    weight = new_matrix("up", "int4", 20, 64)
    choice = CHOICES["direct"]
    with pytest.raises(ShapeError, match=r"x has shape \(3, 32\) but up \(20, 64\) needs"):
        linear_dot8(Graph("g"), persistent("x", (3, 32), "scratch"), weight, choice=choice)
    x = persistent("x", (3, 64), "scratch")
    residual = persistent("residual", (3, 20), "scratch")
    with pytest.raises(ShapeError, match=r"residual is \(3, 20\) but the product is \(3, 24\)"):
        linear_dot8(Graph("g"), x, weight, choice=choice, residual=residual)
    with pytest.raises(ShapeError, match="up is f16: it has no integers"):
        linear_dot8(Graph("g"), x, new_matrix("up", "f16", 20, 64), choice=choice)
    with pytest.raises(ShapeError, match="multiple of 32"):
        quantize_rows(Graph("g"), persistent("x", (3, 40), "scratch"))


def test_choices_respect_the_device() -> None:
    limits = Limits(1 << 30, 1 << 27, 10, 1 << 10, 32, 65535)
    info = AdapterInfo("a", "v", "b", is_software=False)
    for choices in (prefill_choices, decode_choices):
        assert choices(limits, frozenset(), info) == []
        found = choices(limits, frozenset({PACKED_DOT}), info)
        assert len(set(found)) == len(found) > 0
        for choice in found:
            constants = dict(choice.constants)
            if "OCTETS" in constants:
                assert 16 * constants["OCTETS"] <= 32
            else:
                assert constants["LANES"] * constants.get("SLICES", 1) <= 32
            assert "operand_subgroup" not in choice.preludes
