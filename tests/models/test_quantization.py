"""Float weights quantized while they are loaded, from every kind of file, match their twins."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pytest

from app.config import Quantization, TrainConfig
from app.errors import FormatError
from app.gpu.device import Device
from app.io.folder import ModelSource
from app.io.source import MemorySource
from app.models.loader import Model, load_model
from app.ops.quantize import nf4_map
from app.reference.decoder import ReferenceDecoder
from app.reference.quantize import quantize_int4, quantize_int8, quantize_nf4
from tests.conftest import run
from tests.models.test_folder import plain_gguf, words_of
from tests.nn.engine import LORA, Tiny, logits_of, random_tokens
from tests.tiny_folder import as_folder, make_tiny_folder
from tests.tiny_model import dequantized_weights, make_tiny_gguf
from tests.tolerances import (
    ENGINE_LOGITS,
    ENGINE_STEP_LOSS_REL,
    ENGINE_STEP_NORM_REL,
    assert_close,
)
from tests.train.runs import reference_run, train, windows_of

pytestmark = pytest.mark.gpu

Weights = dict[str, npt.NDArray[np.float32]]

KINDS: tuple[Quantization, ...] = ("int4", "int4-symmetric", "nf4")


@pytest.fixture(autouse=True)
def _nothing_leaks(device: Device) -> Iterator[None]:
    before = device.allocated_bytes
    yield
    assert device.allocated_bytes == before


def load(device: Device, source: ModelSource, quantization: Quantization) -> Model:
    return run(load_model(device, source, lambda done, total: None, quantization))


def quantized_weights(weights: Weights, quantization: Quantization) -> Weights:
    """Return what the twins make of a model's weights."""
    found = {}
    for name, values in weights.items():
        if values.ndim == 1:
            found[name] = values
        elif "embed" in name or "lm_head" in name:
            found[name] = quantize_int8(values).values()
        elif quantization == "nf4":
            found[name] = quantize_nf4(values, nf4_map()).values(nf4_map())
        else:
            is_symmetric = quantization == "int4-symmetric"
            found[name] = quantize_int4(values, is_symmetric=is_symmetric).values()
    return found


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("quantization", KINDS)
def test_logits_are_those_of_the_twin_s_weights(
    device: Device, quantization: Quantization, dtype: str
) -> None:
    data = plain_gguf(dtype, tied=dtype != "F16")
    model = load(device, MemorySource(data), quantization)
    assert model.quantization == quantization
    tokens = random_tokens(model.config, 2, 11)
    weights = quantized_weights(dequantized_weights(data), quantization)
    expected = ReferenceDecoder(model.config, weights).forward(tokens)
    assert_close(logits_of(model, None, tokens), expected, ENGINE_LOGITS, "logits")
    model.destroy()


@pytest.mark.parametrize("quantization", KINDS)
def test_a_folder_and_small_slices_give_the_same_words(
    device: Device, monkeypatch: pytest.MonkeyPatch, quantization: Quantization
) -> None:
    data = plain_gguf("F32")
    expected = words_of(device, load(device, MemorySource(data), quantization))
    monkeypatch.setattr("app.models.upload.CHUNK_BYTES", 5000)
    assert words_of(device, load(device, MemorySource(data), quantization)) == expected
    folder = as_folder(make_tiny_folder(data, shards=2))
    assert words_of(device, load(device, folder, quantization)) == expected


def test_what_it_takes(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the weights and one slice is on the GPU while a model is loaded."""
    monkeypatch.setattr("app.models.upload.CHUNK_BYTES", 20_000)
    before, peaks = device.allocated_bytes, []
    data = plain_gguf("F32", layers=4)
    model = run(
        load_model(
            device,
            MemorySource(data),
            lambda done, total: peaks.append(device.allocated_bytes - before),
            "nf4",
        )
    )
    assert max(peaks) <= model.weights_bytes + 2 * 20_000
    plain = load(device, MemorySource(data), "none")
    assert model.weights_bytes < 0.35 * plain.weights_bytes
    plain.destroy()
    model.destroy()


def test_integers_stay_as_they_are(device: Device) -> None:
    data = make_tiny_gguf()
    plain = words_of(device, load(device, MemorySource(data), "none"))
    model = load(device, MemorySource(data), "int4")
    assert model.quantization == "none"
    assert words_of(device, model) == plain


def test_nf4_of_integers_is_refused(device: Device) -> None:
    message = r"blk\.0\.attn_q\.weight is quantized already \(Q4_1\): nf4 is made of F32, F16"
    with pytest.raises(FormatError, match=message):
        load(device, MemorySource(make_tiny_gguf()), "nf4")


class TinyNf4(Tiny):
    """A model in NF4 beside float64 on the weights that these stand for."""

    @cached_property
    def reference(self) -> ReferenceDecoder:
        weights = quantized_weights(dequantized_weights(self.data), "nf4")
        return ReferenceDecoder(self.config, weights)


def test_training_reads_nf4_backward(device: Device) -> None:
    data = plain_gguf("F16")
    tiny = TinyNf4(data, load(device, MemorySource(data), "nf4"))
    config = TrainConfig(max_seq_len=12, micro_batch_size=2, learning_rate=1e-2, steps=4)
    windows = windows_of(tiny, 4 * 12, 12)
    adapter = tiny.adapter()
    expected, _ = reference_run(tiny, run(adapter.tensors()), LORA, windows, config, 4)
    made = train(tiny, adapter, windows, config)
    for record, step in zip(made.records, expected, strict=True):
        assert record.loss == pytest.approx(step.loss, rel=ENGINE_STEP_LOSS_REL)
        assert record.grad_norm == pytest.approx(step.grad_norm, rel=ENGINE_STEP_NORM_REL)
    adapter.destroy()
    tiny.model.destroy()
