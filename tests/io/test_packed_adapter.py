"""Adapters in one or two bits as a file: every value again, and nothing damaged taken."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.config import LoraConfig
from app.errors import AdapterError
from app.io.adapter import adapter_from_bytes, read_adapter_dir, write_adapter_dir
from app.io.adapter_tensors import AdapterTensors
from app.io.low_bit import dequantize_rows, quantize_rows
from app.io.packed_adapter import packed_adapter_bytes
from tests.io.test_adapter import MODEL, Q0, make_tensors

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


def lora_of(bits: int) -> LoraConfig:
    return LoraConfig(3, 7.5, ("q_proj", "down_proj"), use_rslora=True, adapter_bits=bits)


def rounded(tensors: AdapterTensors, bits: int) -> AdapterTensors:
    return {
        path: (
            dequantize_rows(*quantize_rows(a, bits), bits),
            dequantize_rows(*quantize_rows(np.ascontiguousarray(b.T), bits), bits).T.copy(),
        )
        for path, (a, b) in tensors.items()
    }


def assert_same(found: AdapterTensors, wanted: AdapterTensors) -> None:
    assert list(found) == list(wanted)
    for path, pair in wanted.items():
        for values, target in zip(found[path], pair, strict=True):
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, target)


@pytest.mark.parametrize("bits", [1, 2])
def test_round_trip_to_the_last_bit(bits: int) -> None:
    lora = lora_of(bits)
    tensors = make_tensors(lora)
    tensors[Q0][1][:, 1] = 0  # a rank not in use
    applied = rounded(tensors, bits)
    data = packed_adapter_bytes(applied, lora, MODEL, BASE)
    found, settings = adapter_from_bytes(data, None, MODEL)
    assert settings == lora
    assert_same(found, applied)
    assert packed_adapter_bytes(found, settings, MODEL, BASE) == data
    # What was not rounded before is rounded by writing it.
    assert packed_adapter_bytes(tensors, lora, MODEL, BASE) == data


@pytest.mark.parametrize("bits", [1, 2])
def test_the_bytes_are_those_of_the_documentation(bits: int) -> None:
    """docs/formats.md, read without this program's reader."""
    lora = lora_of(bits)
    applied = rounded(make_tensors(lora), bits)
    data = packed_adapter_bytes(applied, lora, MODEL, BASE)
    magic, version, length = struct.unpack_from("<8sII", data)
    assert (magic, version) == (b"LORABITS", 1)
    header = json.loads(data[16 : 16 + length])
    assert header == {
        "adapter_bits": bits,
        "r": 3,
        "lora_alpha": 7.5,
        "use_rslora": True,
        "target_modules": ["q_proj", "down_proj"],
        "num_hidden_layers": 2,
        "shapes": {"q_proj": [64, 64], "down_proj": [64, 128]},
        "base_model_name_or_path": BASE,
    }
    at = 16 + length
    for layer in range(2):
        for module in ("self_attn.q_proj", "mlp.down_proj"):
            a, b = applied[f"model.layers.{layer}.{module}"]
            for matrix in (a, b.T):
                scales = struct.unpack_from("<3f", data, at)
                at += 12
                for row, scale in zip(matrix, scales, strict=True):
                    for column, value in enumerate(row):
                        byte = data[at + column * bits // 8]
                        code = byte >> (column * bits % 8) & ((1 << bits) - 1)
                        assert value == np.float32(scale) * np.float32(2 * code - 2**bits + 1)
                    at += -(-matrix.shape[1] * bits // 8)
    assert struct.unpack_from("<I", data, at) == (zlib.crc32(data[:at]),)
    assert at + 4 == len(data)


def test_it_is_as_small_as_its_codes() -> None:
    lora = LoraConfig()
    tensors = make_tensors(lora)
    count = sum(part.size for pair in tensors.values() for part in pair)
    for bits in (1, 2):
        data = packed_adapter_bytes(tensors, replace(lora, adapter_bits=bits), MODEL, BASE)
        scales = 2 * lora.rank * len(tensors)
        assert len(data) - 600 < count * bits / 8 + 4 * scales < len(data)


@pytest.mark.parametrize("bits", [1, 2])
def test_folder_and_single_file(tmp_path: Path, bits: int) -> None:
    """The PEFT file holds the same values; without it the packed file is enough."""
    lora = lora_of(bits)
    applied = rounded(make_tensors(lora), bits)
    write_adapter_dir(tmp_path, applied, lora, MODEL, BASE)
    assert len(list(tmp_path.iterdir())) == 4
    plain, settings = read_adapter_dir(tmp_path, MODEL)
    assert settings.adapter_bits == 32
    for path, (a, b) in plain.items():
        np.testing.assert_array_equal(a, applied[path][0])
        np.testing.assert_allclose(settings.scaling * b, lora.scaling * applied[path][1], rtol=1e-6)
    found, settings = read_adapter_dir(tmp_path / "adapter_model.lorabits", MODEL)
    assert settings == lora
    assert_same(found, applied)
    (tmp_path / "adapter_model.safetensors").unlink()
    assert read_adapter_dir(tmp_path, MODEL)[1] == lora
    write_adapter_dir(tmp_path, applied, replace(lora, adapter_bits=32), MODEL, BASE)
    assert not (tmp_path / "adapter_model.lorabits").exists()


def with_header(data: bytes, **changes: object) -> bytes:
    length = struct.unpack_from("<I", data, 12)[0]
    header = json.dumps(json.loads(data[16 : 16 + length]) | changes).encode()
    body = data[:12] + struct.pack("<I", len(header)) + header + data[16 + length : -4]
    return body + struct.pack("<I", zlib.crc32(body))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter_bits": 4}, "adapter_bits is 4: give 32, 2 or 1"),
        ({"adapter_bits": 32}, "32 bits"),
        ({"adapter_bits": 1}, "bytes, .* were expected"),
        ({"r": 10**9}, "rank is 1000000000"),
        ({"r": "3"}, "rank is '3'"),
        ({"r": 256}, "bytes, .* were expected"),
        ({"lora_alpha": None}, "alpha is None"),
        ({"use_rslora": 1}, "use_rslora is 1"),
        ({"target_modules": "q_proj"}, "expected a list"),
        ({"target_modules": ["q_proj", "lm_head"]}, "expected 1 or 2 bits for some of"),
        ({"target_modules": []}, "target_modules has nothing"),
        ({"num_hidden_layers": 30}, "num_hidden_layers is 30, expected 2"),
        ({"shapes": {"q_proj": [64, 64]}}, "shapes is .* It was made for"),
    ],
    ids=str,
)
def test_refuses_headers_that_do_not_fit(changes: dict[str, object], message: str) -> None:
    lora = lora_of(2)
    data = packed_adapter_bytes(make_tensors(lora), lora, MODEL, BASE)
    with pytest.raises(AdapterError, match=message):
        adapter_from_bytes(with_header(data, **changes), None, MODEL)


def test_refuses_what_is_damaged() -> None:
    lora = lora_of(1)
    data = packed_adapter_bytes(make_tensors(lora), lora, MODEL, BASE)
    for length in (8, 15, 16, 200, len(data) - 1):
        with pytest.raises(AdapterError):
            adapter_from_bytes(data[:length], None, MODEL)
    for at in range(8, len(data), 13):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(AdapterError):
            adapter_from_bytes(bytes(damaged), None, MODEL)
    scaled = bytearray(data[:-4])
    start = 16 + struct.unpack_from("<I", data, 12)[0]
    scaled[start : start + 4] = struct.pack("<f", np.inf)
    with pytest.raises(AdapterError, match="not a finite number"):
        adapter_from_bytes(bytes(scaled) + struct.pack("<I", zlib.crc32(scaled)), None, MODEL)
    with pytest.raises(AdapterError, match="version 2, this program reads 1"):
        adapter_from_bytes(data[:8] + b"\2" + data[9:], None, MODEL)


def test_never_writes_what_is_not_finite() -> None:
    lora = lora_of(2)
    tensors = make_tensors(lora)
    tensors[Q0][0][1, 2] = np.nan
    with pytest.raises(AdapterError, match="finite numbers of shape"):
        packed_adapter_bytes(tensors, lora, MODEL, BASE)
    del tensors[Q0]
    with pytest.raises(AdapterError, match="its modules are not those"):
        packed_adapter_bytes(tensors, lora, MODEL, BASE)
