"""The product with a frozen matrix, forward and backward, with and without an adapter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.checks.bench import Case, record, run_bench
from app.checks.products import linear_backward_case, linear_case
from app.errors import ShapeError
from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.gpu.tuning import SOFTWARE, Choice, Tuning
from app.ops.linear import (
    backward_choices,
    forward_choices,
    in_half_precision,
    linear,
    linear_backward,
    vector_choices,
)
from app.ops.low_rank import LowRank
from app.ops.matrix import new_matrix
from tests.conftest import run
from tests.ops.helpers import TUNINGS, check

pytestmark = pytest.mark.gpu

HALF_PRECISION_NMSE = 2e-7
"""f16 operands keep 11 bits, sums are f32: 9e-8 measured."""

ROWS = (1, 2, 3, 7, 8, 13, 64)
MODULES: dict[str, dict[str, Any]] = {
    "one": {"outs": (24,), "columns": 96, "rank": 3},
    "two": {"outs": (40, 24), "columns": 32, "rank": 4},
    "three": {"outs": (72, 24, 8), "columns": 160, "rank": 5},
    "rank-1": {"outs": (8,), "columns": 64, "rank": 1},
    "rank-16": {"outs": (64, 64), "columns": 64, "rank": 16},
}
PLAIN = ((1, 32), (13, 96), (20, 160), (40, 64), (264, 544))
"""(out, in): one row, a prime, not a multiple of the tile, of two quads, of many tiles."""


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("gguf_type", ["Q4_0", "Q4_1", "Q8_0", "F16", "F32"])
@pytest.mark.parametrize("rows", ROWS)
def test_forward(device: Device, rows: int, gguf_type: str, tuning: str) -> None:
    for out, columns in PLAIN:
        shape = {"rows": rows, "columns": columns, "outs": (out,), "gguf_type": gguf_type}
        check(device, linear_case, tuning, **shape)


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("has_residual", [False, True], ids=["", "residual"])
@pytest.mark.parametrize("modules", MODULES)
@pytest.mark.parametrize("rows", ROWS)
def test_forward_with_adapter(
    device: Device, rows: int, modules: str, has_residual: bool, tuning: str
) -> None:
    shape = {"rows": rows, "gguf_type": "Q4_1", "has_residual": has_residual}
    check(device, linear_case, tuning, **shape, **MODULES[modules])


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_forward_adds_the_residual_to_padded_columns_too(
    device: Device, rows: int, tuning: str
) -> None:
    shape = {"rows": rows, "columns": 64, "outs": (13,), "gguf_type": "Q8_0"}
    check(device, linear_case, tuning, **shape, has_residual=True)


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("gguf_type", ["Q4_0", "Q4_1", "Q8_0", "F16", "F32"])
@pytest.mark.parametrize("rows", ROWS)
def test_backward(device: Device, rows: int, gguf_type: str, tuning: str) -> None:
    for out, columns in PLAIN:
        shape = {"rows": rows, "columns": columns, "outs": (out,), "gguf_type": gguf_type}
        check(device, linear_backward_case, tuning, **shape)


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("modules", MODULES)
@pytest.mark.parametrize("rows", ROWS)
def test_backward_with_adapter(device: Device, rows: int, modules: str, tuning: str) -> None:
    shape = {"rows": rows, "gguf_type": "Q4_1"}
    check(device, linear_backward_case, tuning, **shape, **MODULES[modules])


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("rows", [2, 19])
def test_real_shapes(device: Device, rows: int, tuning: str) -> None:
    up = {"rows": rows, "columns": 576, "outs": (1536, 1536), "rank": 4, "gguf_type": "Q4_1"}
    down = {"rows": rows, "columns": 1536, "outs": (576,), "rank": 4, "gguf_type": "Q4_1"}
    check(device, linear_case, tuning, **up)
    check(device, linear_case, tuning, **down, has_residual=True)
    check(device, linear_backward_case, tuning, **up)
    check(device, linear_backward_case, tuning, **down)


def test_refuses_what_does_not_fit() -> None:
    weight = new_matrix("up", "int4", 20, 64)
    with pytest.raises(ShapeError, match=r"x has shape \(3, 32\) but up \(20, 64\) needs"):
        linear(Graph("g"), persistent("x", (3, 32), "scratch"), weight)
    with pytest.raises(ShapeError, match=r"dy has shape \(3, 20\).*needs \(rows, 24\)"):
        linear_backward(Graph("g"), persistent("dy", (3, 20), "scratch"), weight)
    x = persistent("x", (3, 64), "scratch")
    with pytest.raises(ShapeError, match=r"residual is \(3, 20\) but the product is \(3, 24\)"):
        linear(Graph("g"), x, weight, residual=persistent("residual", (3, 20), "scratch"))
    a, b = persistent("a", (4, 64), "adapter"), persistent("b", (20, 4), "adapter")
    hidden = persistent("h", (3, 4), "scratch")
    with pytest.raises(ShapeError, match="lora_b has 20 rows but the packed matrix has 24"):
        linear(Graph("g"), x, weight, low_rank=LowRank(4, (), a, b), hidden=hidden)
    with pytest.raises(ShapeError, match=r"modules begin at rows \(6,\)"):
        LowRank(4, (6,), a, b)


@pytest.mark.parametrize("gguf_type", ["Q4_1", "Q8_0", "F16"])
@pytest.mark.parametrize("rows", [3, 8, 13, 64])
def test_rows_shared_in_a_subgroup(device: Device, rows: int, gguf_type: str) -> None:
    if device.info.subgroup_size < 8:
        pytest.skip("this adapter's subgroups are too small, or their size is not known")
    for out, columns in PLAIN:
        shape = {"rows": rows, "columns": columns, "outs": (out,), "gguf_type": gguf_type}
        for case in (linear_case, linear_backward_case):
            check(device, case, "subgroups", **shape)
    for case in (linear_case, linear_backward_case):
        check(device, case, "subgroups", rows=rows, gguf_type=gguf_type, **MODULES["three"])


def test_refuses_modules_that_share_an_invocation() -> None:
    a, b = persistent("a", (4, 32), "scratch"), persistent("b", (24, 2), "scratch")
    with pytest.raises(ShapeError, match=r"rows \(12,\) of the stacked matrix: multiples of 8"):
        _ = LowRank(2, (12,), a, b).bound_params


def all_choices() -> list[Choice]:
    """Return what is offered to any device, but for the widths of what the presets have."""
    limits = Limits(1 << 30, 1 << 27, 10, 1 << 15, 1024, 65535)
    choices: dict[Choice, None] = {}
    for is_software in (False, True):
        info = AdapterInfo("a", "v", "b", is_software, subgroup_size=8)
        for offered in (forward_choices, backward_choices, vector_choices):
            choices |= dict.fromkeys(offered(limits, frozenset(), info))
    return list(choices)


def tuned(device: Device, choice: Choice) -> Tuning:
    """Return a tuning with the choice, or skip where the device lacks what it needs."""
    size = device.info.subgroup_size
    shares = any("subgroup" in prelude for prelude in choice.preludes)
    if shares and (size < 8 or choice["LANES"] % size):
        pytest.skip("this adapter's subgroups do not fit, or their size is not known")
    if "real_f16" in choice.preludes and "shader-f16" not in device.features:
        pytest.skip("this adapter has no shader-f16")
    constants = dict(choice.constants)
    if constants["LANES"] * constants.get("BANDS", constants.get("SLICES", 1)) > (
        device.limits.max_invocations
    ):
        pytest.skip("this adapter's workgroups are too small")
    if "vector" in choice.shader:
        return replace(SOFTWARE, vector=choice)
    if "backward" in choice.shader:
        return replace(SOFTWARE, backward=choice)
    return replace(SOFTWARE, forward=choice)


@pytest.mark.parametrize("choice", all_choices(), ids=lambda choice: choice.label)
def test_every_choice(device: Device, choice: Choice) -> None:
    tuning = tuned(device, choice)
    case = linear_backward_case if "backward" in choice.shader else linear_case
    # More rows than half of the largest tile: fewer take another kernel.
    many = (2,) if "vector" in choice.shader else (66, 77)
    for rows in many:
        shape = {"rows": rows, "columns": 160, "gguf_type": "Q4_1"}
        check(device, case, tuning, **shape, outs=(264,))
        check(device, case, tuning, **shape, outs=(72, 24, 8), rank=5)
    check(device, case, tuning, rows=many[0], columns=32, outs=(72,), rank=40, gguf_type="Q8_0")


@pytest.mark.parametrize("gguf_type", ["Q4_0", "Q8_0", "F16", "F32"])
@pytest.mark.parametrize("family", ["wide", "tile"])
def test_families_read_every_format(device: Device, family: str, gguf_type: str) -> None:
    for choice in all_choices():
        if not choice.shader.endswith(family) or choice["LANES"] not in (8, 32):
            continue
        case = linear_backward_case if "backward" in choice.shader else linear_case
        shape = {"rows": 37, "gguf_type": gguf_type}
        tuning = tuned(device, choice)
        for out, columns in PLAIN:
            check(device, case, tuning, **shape, outs=(out,), columns=columns)
        for modules in ("one", "two", "rank-1"):
            check(device, case, tuning, **shape, **MODULES[modules])
            if case is linear_case:
                check(device, case, tuning, **shape, **MODULES[modules], has_residual=True)


@pytest.mark.parametrize("case", [linear_case, linear_backward_case])
def test_half_precision(device: Device, case: Case) -> None:
    tile = next(c for c in all_choices() if c.shader == "linear_tile")
    tuning = tuned(device, in_half_precision(tile))
    back = replace(in_half_precision(tile), shader="linear_backward_tile")
    tuning = replace(tuning, backward=back)
    shape = {"rows": 70, "columns": 544, "outs": (264,), "rank": 4, "gguf_type": "Q4_1"}
    for result in run(run_bench(device, record(case, tuning, 1, **shape))):
        assert 1e-10 < result.nmse < HALF_PRECISION_NMSE


def test_few_rows_take_the_kernel_of_eight() -> None:
    tile = next(c for c in all_choices() if c.shader == "linear_tile")
    weight = new_matrix("w", "int4", 64, 64)
    for rows, shader in ((3, "linear"), (32, "linear"), (33, "linear_tile")):
        graph = Graph("g", replace(SOFTWARE, forward=tile))
        linear(graph, persistent("x", (rows, 64), "scratch"), weight)
        assert graph.nodes[0].kernel.name == shader


def test_choices_respect_the_limits() -> None:
    limits = Limits(1 << 30, 1 << 27, 10, 1 << 10, 32, 65535)
    info = AdapterInfo("a", "v", "b", is_software=False)
    for choices in (forward_choices, backward_choices, vector_choices):
        found = choices(limits, frozenset(), info)
        assert found
        assert len(set(found)) == len(found)
        for choice in found:
            constants = dict(choice.constants)
            assert constants["LANES"] * constants.get("SLICES", 1) <= 32
            assert "BANDS" not in constants
            assert not any("subgroup" in prelude for prelude in choice.preludes)
