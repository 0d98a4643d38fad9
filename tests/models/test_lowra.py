"""Bits go to the channels that gain most from them, and the model computes on what they became."""

from __future__ import annotations

import numpy as np
import pytest

from app.errors import ConfigError, FormatError
from app.gpu.device import Device
from app.io.source import MemorySource
from app.models.loader import Model, load_model
from app.models.lowra import assign_bits
from app.reference.decoder import ReferenceDecoder
from app.reference.lowra import channel_errors, quantize_lowra
from app.reference.quantize import quantize_int8
from tests.conftest import run
from tests.models.test_folder import plain_gguf
from tests.nn.engine import logits_of, random_tokens
from tests.tiny_model import dequantized_weights, make_tiny_gguf
from tests.tolerances import ENGINE_LOGITS, assert_close


def load(device: Device, data: bytes, bits: float) -> Model:
    return run(load_model(device, MemorySource(data), lambda done, total: None, "lowra", bits))


def test_bits_go_where_they_take_most_error_away() -> None:
    errors = np.array([[8.0, 4, 1], [80, 40, 10], [8, 7.9, 1], [0, 0, 0]])
    for budget, expected in (
        (1.0, [1, 1, 1, 1]),
        (1.25, [1, 2, 1, 1]),
        (1.75, [1, 4, 1, 1]),
        (2.0, [2, 4, 1, 1]),
        (3.0, [2, 4, 4, 1]),
        (4.0, [4, 4, 4, 1]),
    ):
        (bits,) = assign_bits([errors], [64], budget)
        assert bits.tolist() == expected, budget
    # A row of a wider matrix costs more: the same error is worth less there.
    narrow, wide = assign_bits([errors[:1], errors[:1]], [32, 96], 1.25)
    assert (narrow[0], wide[0]) == (4, 1) or (narrow[0], wide[0]) == (2, 1)


@pytest.mark.gpu
@pytest.mark.parametrize("budget", [1.0, 1.8, 4.0])
def test_logits_are_those_of_the_twin_s_weights(device: Device, budget: float) -> None:
    before = device.allocated_bytes
    data = plain_gguf("F16", layers=1)
    weights = dequantized_weights(data)
    names = [name for name, values in weights.items() if "proj" in name]
    errors = [channel_errors(weights[name]) for name in names]
    bits = assign_bits(errors, [weights[name].shape[1] for name in names], budget)
    for name, chosen in zip(names, bits, strict=True):
        weights[name] = quantize_lowra(weights[name], chosen).values()
    weights["model.embed_tokens.weight"] = quantize_int8(
        weights["model.embed_tokens.weight"]
    ).values()
    model = load(device, data, budget)
    assert model.bits is not None
    total = sum(model.bits.values())
    assert budget - 0.02 < sum(width * count for width, count in model.bits.items()) / total
    assert sum(width * count for width, count in model.bits.items()) / total <= budget
    tokens = random_tokens(model.config, 2, 11)
    expected = ReferenceDecoder(model.config, weights).forward(tokens)
    assert_close(logits_of(model, None, tokens), expected, ENGINE_LOGITS, "logits")
    model.destroy()
    assert device.allocated_bytes == before


@pytest.mark.gpu
def test_what_cannot_be_had_is_refused(device: Device) -> None:
    with pytest.raises(ConfigError, match=r"quantize_bits is 0\.5: give a number from 1 to 4"):
        load(device, plain_gguf("F16"), 0.5)
    with pytest.raises(FormatError, match=r"quantized already \(Q4_1\): lowra is made of F32"):
        load(device, make_tiny_gguf(), 2)
