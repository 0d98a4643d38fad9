"""The adapter in use: trained, loaded, exported; never lost without having been offered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from app.config import LoraConfig
from app.errors import AdapterError
from app.io.adapter import (
    PACKED_NAME,
    adapter_config_json,
    adapter_from_bytes,
    adapter_to_safetensors,
    packed_adapter_bytes,
    parse_config_bytes,
)
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.studio.protocol import (
    AdapterEvent,
    AdapterInfo,
    AdapterReplacedEvent,
    ImportRequest,
    Message,
)

FILENAME = "adapter_model.safetensors"
"""What PEFT and everything after it look for in a folder."""

MAX_ADAPTER_BYTES = 1_000_000_000


class AdapterDesk:
    """Holds at most one adapter of one model."""

    def __init__(
        self, post: Callable[[Any], None], on_drop: Callable[[Adapter], None] = lambda _: None
    ) -> None:
        """Send events through `post`; `on_drop` hears of an adapter before it is freed."""
        self._post = post
        self._on_drop = on_drop
        self._model: Model | None = None
        self._info: AdapterInfo | None = None
        self._is_saved = True
        self._snapshot: bytes | None = None
        self.current: Adapter | None = None

    async def use_model(self, model: Model) -> None:
        """Begin with another model; an adapter that was never downloaded is handed out first."""
        await self.offer_unsaved()
        self._drop()
        self._model = model
        self._post(AdapterEvent(None))

    async def offer_unsaved(self) -> None:
        """Hand the page the bytes of a trained adapter that is about to be replaced."""
        if self.current is not None and not self._is_saved:
            exported = await self._export_bytes()
            self._post(AdapterReplacedEvent(exported, FILENAME))
            self._is_saved = True

    def replace(self, adapter: Adapter, *, steps: int) -> None:
        """Make a freshly trained adapter the current one, freeing the one before."""
        if adapter is not self.current:
            self._drop()
            self.current = adapter
        self.note_training(steps)

    def note_training(self, steps: int) -> None:
        """The current adapter has been trained for `steps` updates in all."""
        adapter = self.current
        assert adapter is not None
        self._is_saved = False
        shape = self._shape(adapter)
        self._set_info(AdapterInfo(**shape, origin="trained", name="", steps=steps))

    @property
    def steps(self) -> int:
        """Updates that made the current adapter, as far as known."""
        return 0 if self._info is None else self._info.steps

    async def load(self, request: ImportRequest) -> AdapterInfo:
        """Read an adapter file; only when it is found good does it replace the current one.

        Raises:
            FormatError, AdapterError: names the key, what was found and what was expected.
        """
        model = self._model
        assert model is not None
        file, name = request["file"], request["name"]
        if file.size_bytes > MAX_ADAPTER_BYTES:
            raise AdapterError(
                f"{name} has {file.size_bytes / 1e9:.1f} GB, which no LoRA adapter of this model "
                "needs: choose the adapter's .safetensors file"
            )
        config_file = request.get("config")
        config = None
        if config_file is not None:
            config = parse_config_bytes(await config_file.read(0, config_file.size_bytes))
        data = await file.read(0, file.size_bytes)
        tensors, lora = adapter_from_bytes(data, config, model.config)
        adapter = Adapter(model.config, model.device, lora)
        try:
            adapter.load(tensors)
        except BaseException:
            adapter.destroy()
            raise
        await self.offer_unsaved()
        self._drop()
        self.current, self._is_saved, self._snapshot = adapter, True, data
        info = AdapterInfo(**self._shape(adapter), origin="loaded", name=name, steps=0)
        self._set_info(info)
        return info

    async def export(self) -> Message:
        """Return the PEFT files of the current adapter, and the packed one where it has one.

        Raises:
            AdapterError: there is none, or it holds values that are not finite.
        """
        data = await self._export_bytes()
        self._is_saved = True
        lora, base_name = self._naming()
        config = json.dumps(adapter_config_json(lora, base_name), indent=2) + "\n"
        message: Message = {"bytes": data, "filename": FILENAME, "config": config}
        if lora.adapter_bits < 32:
            message |= {"packed": await self._packed_bytes(), "packed_filename": PACKED_NAME}
        return message

    def _naming(self) -> tuple[LoraConfig, str]:
        if self.current is None or self._model is None:
            raise AdapterError("there is no adapter yet: train one or load one first")
        return self.current.lora, self._model.base_name

    async def _export_bytes(self) -> bytes:
        lora, base_name = self._naming()
        assert self.current is not None
        assert self._model is not None
        tensors = await self.current.effective_tensors()
        return adapter_to_safetensors(tensors, lora, self._model.config, base_name)

    async def _packed_bytes(self) -> bytes:
        lora, base_name = self._naming()
        assert self.current is not None
        assert self._model is not None
        tensors = await self.current.effective_tensors()
        return packed_adapter_bytes(tensors, lora, self._model.config, base_name)

    def _set_info(self, info: AdapterInfo) -> None:
        self._info = info
        self._post(AdapterEvent(info))

    def _shape(self, adapter: Adapter) -> dict[str, Any]:
        assert self._model is not None
        config, lora = self._model.config, adapter.lora
        per_layer = sum(sum(config.projection_shape(name)) for name in lora.target_modules)
        return {
            "rank": lora.rank,
            "alpha": lora.alpha,
            "bits": lora.adapter_bits,
            "num_parameters": per_layer * lora.rank * config.num_hidden_layers,
        }

    async def take_snapshot(self) -> None:
        """Keep a copy off the GPU, for the day the device goes away."""
        if self.current is not None:
            self._snapshot = await self._export_bytes()

    def abandon(self) -> None:
        """The device is gone: hand out the last copy of the adapter, free nothing."""
        if self._snapshot is not None and self.current is not None:
            self._post(AdapterReplacedEvent(self._snapshot, FILENAME))
        self.current, self._info, self._is_saved, self._snapshot = None, None, True, None
        self._post(AdapterEvent(None))

    def close(self) -> None:
        """Free the current adapter without offering it."""
        self._drop()

    def _drop(self) -> None:
        if self.current is not None:
            self._on_drop(self.current)
            self.current.destroy()
        self.current, self._info, self._is_saved, self._snapshot = None, None, True, None
