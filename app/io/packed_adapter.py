"""Adapters in one or two bits as one small file; docs/formats.md has it byte by byte.

MAGIC, version, length of the header, header (JSON), for each layer and each of its projections
the scales and codes of A and of Bᵀ, and a CRC-32 of all that.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from app.config import TARGET_MODULES, LoraConfig, ModelConfig
from app.errors import AdapterError, ConfigError, json_problem
from app.io.adapter_tensors import AdapterTensors, FloatArray, adapter_shapes
from app.io.low_bit import dequantize_rows, pack_rows, quantize_rows, unpack_rows
from app.io.peft_config import short
from app.io.strict_json import parse_json
from app.messages import say

MAGIC = b"LORABITS"
VERSION = 1
SUFFIX = ".lorabits"

_HEAD = struct.Struct("<8sII")
_MAX_HEADER_BYTES = 1 << 16
_CRC_BYTES = 4


def is_packed_adapter(data: bytes) -> bool:
    """Whether these are the bytes of a packed adapter, sound or not."""
    return data[: len(MAGIC)] == MAGIC


def packed_adapter_bytes(
    tensors: AdapterTensors, lora: LoraConfig, model: ModelConfig, base_name: str
) -> bytes:
    """Return the packed file of an adapter.

    Args:
        tensors: What the model computes with: values that were rounded are written as they are,
            to the last bit; others are rounded.
        lora: Its `adapter_bits` are 1 or 2.
        model: The base.
        base_name: Its name.

    Raises:
        AdapterError: the tensors do not fit the model, or a value is not finite.
    """
    lora.check()
    bits = lora.adapter_bits
    header = json.dumps(_header(lora, model, base_name)).encode()
    pieces = [_HEAD.pack(MAGIC, VERSION, len(header)), header]
    wanted = list(_matrices(lora, model))
    if {path for path, _, _ in wanted} != set(tensors):
        raise AdapterError(say("cannot export the adapter: its modules are not those of the model"))
    for path, half, shape in wanted:
        matrix = tensors[path][0] if half == "A" else tensors[path][1].T
        if matrix.shape != shape or not np.isfinite(matrix).all():
            raise AdapterError(
                say(
                    "cannot export the adapter: {path} has a lora_{half} of shape {shape} where "
                    "finite numbers of shape {shape_2} were expected",
                    path=path,
                    half=half,
                    shape=matrix.shape,
                    shape_2=shape,
                )
            )
        codes, scales = quantize_rows(np.ascontiguousarray(matrix), bits)
        pieces += [scales.astype("<f4").tobytes(), pack_rows(codes, bits).tobytes()]
    body = b"".join(pieces)
    return body + struct.pack("<I", zlib.crc32(body))


def packed_adapter_from_bytes(data: bytes, model: ModelConfig) -> tuple[AdapterTensors, LoraConfig]:
    """Read a packed file that fits the model.

    Returns:
        The values that the codes stand for, and a config with the file's bits.

    Raises:
        AdapterError: the file is damaged, of another version, or for another model.
    """
    lora, start = _read_header(data, model)
    bits = lora.adapter_bits
    matrices = list(_matrices(lora, model))
    sizes = [_matrix_bytes(shape, bits) for _, _, shape in matrices]
    expected = start + sum(sizes) + _CRC_BYTES
    if len(data) != expected:
        raise AdapterError(
            say(
                "the packed adapter has {num_data} bytes, {expected} were expected: it is "
                "cut short or damaged, take another copy",
                num_data=len(data),
                expected=expected,
            )
        )
    if zlib.crc32(data[:-_CRC_BYTES]) != struct.unpack("<I", data[-_CRC_BYTES:])[0]:
        raise AdapterError(say("the packed adapter's checksum is wrong: take another copy"))
    halves: dict[str, list[FloatArray]] = {}
    for (path, half, (rank, columns)), size in zip(matrices, sizes, strict=True):
        scales = np.frombuffer(data, "<f4", rank, start).astype(np.float32)
        if not np.isfinite(scales).all():
            raise AdapterError(
                say(
                    "the packed adapter's lora_{half} of {path} has a scale that is not a finite "
                    "number: take an earlier adapter",
                    half=half,
                    path=path,
                )
            )
        packed = np.frombuffer(data, np.uint8, size - 4 * rank, start + 4 * rank)
        codes = unpack_rows(packed.reshape(rank, -1), columns, bits)
        values = dequantize_rows(codes, scales, bits)
        halves.setdefault(path, []).append(values if half == "A" else values.T.copy())
        start += size
    return {path: (a, b) for path, (a, b) in halves.items()}, lora


def _header(lora: LoraConfig, model: ModelConfig, base_name: str) -> dict[str, Any]:
    return {
        "adapter_bits": lora.adapter_bits,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "use_rslora": lora.use_rslora,
        "target_modules": list(lora.target_modules),
        "num_hidden_layers": model.num_hidden_layers,
        "shapes": {name: list(model.projection_shape(name)) for name in lora.target_modules},
        "base_model_name_or_path": base_name,
    }


def _read_header(data: bytes, model: ModelConfig) -> tuple[LoraConfig, int]:
    """Return the settings and where the matrices begin."""
    if len(data) < _HEAD.size or not is_packed_adapter(data):
        raise AdapterError(
            say("this is no packed adapter: it does not begin with {decode}", decode=MAGIC.decode())
        )
    _, version, length = _HEAD.unpack_from(data)
    if version != VERSION:
        raise AdapterError(
            say(
                "the packed adapter is of version {version}, this program reads {version_2}: "
                "use the program that wrote it, or its ordinary PEFT export",
                version=version,
                version_2=VERSION,
            )
        )
    start = _HEAD.size + length
    if length > _MAX_HEADER_BYTES or start > len(data):
        raise AdapterError(
            say("the packed adapter's header does not fit the file: take another copy")
        )
    try:
        header = parse_json(data[_HEAD.size : start], max_depth=4)
    except ValueError as error:
        raise AdapterError(
            say(
                "the packed adapter's header is not valid JSON ({error}): take another copy",
                error=json_problem(error),
            )
        ) from error
    if not isinstance(header, dict):
        raise AdapterError(say("the packed adapter's header is not a JSON object"))
    modules = header.get("target_modules")
    if not isinstance(modules, list) or not all(isinstance(name, str) for name in modules):
        raise AdapterError(
            say(
                "packed adapter: target_modules is {modules}, expected a list of module names",
                modules=short(modules),
            )
        )
    try:
        lora = LoraConfig(
            rank=header.get("r"),  # type: ignore[arg-type]  # checked next
            alpha=header.get("lora_alpha"),  # type: ignore[arg-type]
            target_modules=tuple(name for name in TARGET_MODULES if name in modules),
            use_rslora=header.get("use_rslora"),  # type: ignore[arg-type]
            adapter_bits=header.get("adapter_bits"),  # type: ignore[arg-type]
        ).check()
    except ConfigError as error:
        raise AdapterError(
            say("the packed adapter's settings cannot be used: {error}", error=error)
        ) from error
    if lora.adapter_bits == 32 or len(lora.target_modules) != len(modules):
        raise AdapterError(
            say(
                "packed adapter: {adapter_bits} bits for {modules}, expected 1 or 2 bits for "
                "some of {target_modules}",
                adapter_bits=lora.adapter_bits,
                modules=short(modules),
                target_modules=", ".join(TARGET_MODULES),
            )
        )
    expected = _header(lora, model, "")
    for key in ("num_hidden_layers", "shapes"):
        if header.get(key) != expected[key]:
            made_for = short(header.get("base_model_name_or_path") or "another model")
            raise AdapterError(
                say(
                    "packed adapter: {key} is {key_2}, expected {expected} for the loaded model. "
                    "It was made for {made_for}",
                    key=key,
                    key_2=short(header.get(key)),
                    expected=short(expected[key]),
                    made_for=made_for,
                )
            )
    return lora, start


def _matrices(lora: LoraConfig, model: ModelConfig) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Yield path, half and shape of each A and Bᵀ, in the file's order."""
    for path, (out_features, in_features) in adapter_shapes(model).items():
        if path.rsplit(".", 1)[-1] in lora.target_modules:
            yield path, "A", (lora.rank, in_features)
            yield path, "B", (lora.rank, out_features)


def _matrix_bytes(shape: tuple[int, int], bits: int) -> int:
    rank, columns = shape
    return rank * (4 + -(-columns * bits // 8))
