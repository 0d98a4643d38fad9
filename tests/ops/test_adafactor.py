"""Adafactor against its twin, and the twin against transformers."""

from __future__ import annotations

import numpy as np
import pytest

from app.checks.optimizers import adafactor_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.ops.adafactor import AdafactorState
from app.reference.adafactor import adafactor
from tests.ops.helpers import check


@pytest.mark.gpu
@pytest.mark.parametrize(
    "shapes",
    [((1, 1),), ((4, 576), (192, 4)), ((16, 33), (70, 16), (7, 7)), ((256, 300),)],
    ids=str,
)
def test_adafactor(device: Device, shapes: tuple[tuple[int, int], ...]) -> None:
    check(device, adafactor_case, shapes=shapes)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_gradients_far_from_one(device: Device, scale: float) -> None:
    check(device, adafactor_case, shapes=((4, 64),), scale=scale)


def test_a_matrix_too_wide_both_ways_is_refused() -> None:
    with pytest.raises(ShapeError, match="300 × 400: adafactor takes at most 256 one way"):
        AdafactorState.create([(0, 300, 400, 1.0)])


@pytest.mark.peft
def test_twin_is_that_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    random = np.random.default_rng(0)
    values = random.standard_normal((6, 50))
    parameter = torch.nn.Parameter(torch.tensor(values))
    optimizer = transformers.Adafactor(
        [parameter], lr=1e-2, relative_step=False, scale_parameter=False, weight_decay=0.1
    )
    rows, columns = np.zeros(6), np.zeros(50)
    for step in range(1, 6):
        gradient = random.standard_normal((6, 50)) * 3.0**-step
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        values, rows, columns = adafactor(
            values, gradient, rows, columns, step=step, learning_rate=1e-2, weight_decay=0.1
        )
        np.testing.assert_allclose(parameter.detach().numpy(), values, rtol=1e-9, atol=1e-12)
