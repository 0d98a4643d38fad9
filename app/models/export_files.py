"""A whole model as the files of a HuggingFace model, weight by weight."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from app.errors import StudioError
from app.io.huggingface_export import config_json, small_files
from app.io.safetensors import safetensors_header
from app.io.zip_pieces import zip_pieces
from app.messages import say
from app.models.export import ExportDtype, named_weights, read_weights
from app.models.loader import Model

WEIGHTS_FILE = "model.safetensors"


def export_dtype(model: Model) -> ExportDtype:
    """Return f32 where the projections are, else f16: quantized ones are dequantized."""
    projections = model.weights.layers[0].projections.values()
    return "f32" if all(matrix.format == "f32" for matrix in projections) else "f16"


def describing_files(model: Model, dtype: ExportDtype) -> dict[str, str]:
    """Return name → text of every file but the weights."""
    tokenizer = model.tokenizer
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    special = {}
    for name, token_id in (("bos_token", bos), ("eos_token", eos)):
        token = None if token_id is None else tokenizer.token(token_id)
        if token is not None:
            special[name] = token
    return small_files(
        config_json(model.config, dtype, bos_token_id=bos, eos_token_id=eos),
        tokenizer_json=tokenizer.document,
        chat_template=model.chat_template,
        special_tokens=special,
        stop_token_ids=model.stop_token_ids,
    )


async def weights_file(model: Model, dtype: ExportDtype) -> AsyncIterator[bytes]:
    """Yield model.safetensors piece by piece: the header, then each weight."""
    stored: Literal["F32", "F16"] = "F32" if dtype == "f32" else "F16"
    listed = named_weights(model.config, model.weights)
    yield safetensors_header(
        ((weight.name, stored, weight.shape) for weight in listed), {"format": "pt"}
    )
    kind = np.dtype("<f4" if dtype == "f32" else "<f2")
    async for _, values in read_weights(model.device, model.config, model.weights, dtype):
        yield values.astype(kind, copy=False).tobytes()


async def write_model_dir(path: Path, model: Model) -> None:
    """Write a model that transformers and this program load: weights, tokenizer, settings.

    A crash never leaves half a file under its name.

    Raises:
        StudioError: the folder cannot be written to.
    """
    dtype = export_dtype(model)
    try:
        path.mkdir(parents=True, exist_ok=True)
        part = path / f"{WEIGHTS_FILE}.part"
        with part.open("wb") as file:
            async for piece in weights_file(model, dtype):
                file.write(piece)
        os.replace(part, path / WEIGHTS_FILE)
        for name, text in describing_files(model, dtype).items():
            (path / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudioError(
            say("cannot write the model to {path}: {strerror}", path=path, strerror=error.strerror)
        ) from error


async def zipped_model(
    model: Model, more: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[int, bytes, float]]:
    """Yield the folder of `write_model_dir` as a .zip in pieces: see `app.io.zip_pieces`.

    Args:
        model: What is exported.
        more: Other small files, name → text.

    Yields:
        Offset, bytes, and the share of the whole that has come.
    """
    dtype = export_dtype(model)
    item_bytes = 4 if dtype == "f32" else 2
    weights = named_weights(model.config, model.weights)
    size = sum(item_bytes * math.prod(weight.shape) for weight in weights)
    texts = describing_files(model, dtype) | dict(more or {})
    done = 0
    async for offset, data in zip_pieces(texts, WEIGHTS_FILE, weights_file(model, dtype), size):
        done += len(data)
        yield offset, data, min(1.0, done / size)
