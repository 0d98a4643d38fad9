"""Adapters as the page takes and gives them: one file, its config beside it, or a zipped folder."""

from __future__ import annotations

import json
import re
from pathlib import PurePath

from app.config import LoraConfig, ModelConfig
from app.errors import AdapterError, FormatError
from app.io.adapter import (
    PACKED_NAME,
    adapter_config_json,
    adapter_from_bytes,
    adapter_to_safetensors,
    model_card,
    packed_adapter_bytes,
    parse_config_bytes,
)
from app.io.adapter_tensors import AdapterTensors
from app.io.adapter_zip import CONFIG_NAME, WEIGHTS_NAME, unzip_adapter, zip_folder
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.runs.record import FILE_NAME as RECORD_NAME
from app.studio.protocol import ImportRequest, Message
from app.studio.provenance import Provenance

FILENAME = WEIGHTS_NAME
"""What PEFT and everything after it look for in a folder."""

MAX_ADAPTER_BYTES = 1_000_000_000


async def read_adapter(
    request: ImportRequest, config: ModelConfig
) -> tuple[AdapterTensors, LoraConfig]:
    """Read an adapter file, with its config where one comes along, or a zipped folder.

    Raises:
        FormatError, AdapterError: names the key, what was found and what was expected.
    """
    file, name = request["file"], request["name"]
    if file.size_bytes > MAX_ADAPTER_BYTES:
        raise AdapterError(
            say(
                "{name} has {size_bytes} GB, which no LoRA adapter of this model needs: "
                "choose the adapter's .safetensors file",
                name=name,
                size_bytes=f"{file.size_bytes / 1e9:.1f}",
            )
        )
    config_file = request.get("config")
    peft_config = None
    if config_file is not None:
        peft_config = parse_config_bytes(await config_file.read(0, config_file.size_bytes))
    data = await file.read(0, file.size_bytes)
    if name.lower().endswith(".zip"):
        data, zipped = unzip_adapter(data)
        peft_config = parse_config_bytes(zipped) if zipped is not None else peft_config
    try:
        return adapter_from_bytes(data, peft_config, config)
    except FormatError as error:
        if name in str(error):
            raise
        raise FormatError(say("{name}: {error}", name=name, error=error)) from error


def upload_adapter(tensors: AdapterTensors, lora: LoraConfig, model: Model) -> Adapter:
    """Return an adapter of its base on the GPU; what cannot be loaded leaves nothing there.

    Raises:
        AdapterError, OutOfGpuMemoryError: nothing of it was kept.
    """
    adapter = Adapter(model.config, model.device, lora)
    try:
        adapter.load(tensors)
    except BaseException:
        adapter.destroy()
        raise
    return adapter


async def adapter_bytes(adapter: Adapter, model: Model) -> bytes:
    """Return an adapter as it is now as a .safetensors file."""
    tensors = await adapter.effective_tensors()
    return adapter_to_safetensors(tensors, adapter.lora, model.config, model.base_name)


def adapter_files(
    data: bytes,
    lora: LoraConfig,
    model: Model,
    tensors: AdapterTensors | None,
    *,
    name: str,
    provenance: Provenance,
    as_folder: bool,
    filename: str = FILENAME,
) -> Message:
    """Return an adapter as one file with its config, or as a zipped PEFT folder with its card.

    In one or two bits it comes packed as well.

    Args:
        data: Its file, as it was trained: the strength it is listened to with is no part of it.
        lora: Its shape.
        model: Its base.
        tensors: What the model computes with; needed in one or two bits only.
        name: What it is called on the shelf.
        provenance: How it was made, for the model card and run.json.
        as_folder: A zipped folder rather than the file.
        filename: Of the single file.
    """
    base_name = model.base_name
    facts, record = provenance.facts, provenance.record
    config = json.dumps(adapter_config_json(lora, base_name), indent=2) + "\n"
    packed = None
    if tensors is not None:
        packed = packed_adapter_bytes(tensors, lora, model.config, base_name)
    if not as_folder:
        message: Message = {"bytes": data, "filename": filename, "config": config}
        message["record"] = record
        if packed is not None:
            own = filename.removesuffix(".safetensors") + PurePath(PACKED_NAME).suffix
            message |= {"packed": packed, "packed_filename": own}
        return message
    card = model_card(lora, base_name, facts, name=name)
    files = {WEIGHTS_NAME: data, CONFIG_NAME: config.encode(), "README.md": card.encode()}
    if packed is not None:
        files[PACKED_NAME] = packed
    if record:
        files[RECORD_NAME] = record.encode()
    return {"bytes": zip_folder(files), "filename": f"{file_stem(name)}.zip", "config": config}


def file_stem(name: str) -> str:
    """Return a name that every file system takes."""
    stem = re.sub(r"\.(safetensors|lorabits|zip)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", stem, flags=re.ASCII).strip("-._") or "adapter"
