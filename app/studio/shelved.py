"""One adapter of the shelf: on the GPU, and as the file that outlives it there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from app.config import LoraConfig
from app.errors import AdapterError
from app.io.adapter import adapter_from_bytes
from app.io.adapter_tensors import AdapterTensors
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.studio.adapter_files import FILENAME, adapter_bytes, file_stem, upload_adapter
from app.studio.protocol import AdapterInfo
from app.studio.provenance import Provenance, made_text


@dataclass(frozen=True)
class Copy:
    """An adapter's file, as of a version of its parameters.

    Attributes:
        steps: Updates that had made it by then.
    """

    data: bytes
    version: int
    steps: int


@dataclass(eq=False)
class Shelved:
    """An adapter, and what is known of it.

    Attributes:
        adapter: None while it is a file only: its device went away, or the room was needed.
        lora: Its shape.
        copy: Its file, for the day the device goes away; it may be older than the adapter.
        provenance: How it was made, as far as is known.
        is_named: Its name is a person's, or its file's, and no number of a run.
    """

    adapter: Adapter | None
    lora: LoraConfig
    info: AdapterInfo
    is_saved: bool
    copy: Copy | None = None
    provenance: Provenance = field(default_factory=Provenance.unknown)
    is_named: bool = False

    @property
    def told(self) -> AdapterInfo:
        """What the page is told of it."""
        return replace(self.info, is_saved=self.is_saved, has_record=bool(self.provenance.record))

    @property
    def filename(self) -> str:
        """What its file is called: by its name where that says something, else as PEFT does."""
        return f"{file_stem(self.info.name)}.safetensors" if self.is_named else FILENAME

    def made(self) -> str:
        """Return how it was made, to be kept beside it."""
        return made_text(self.provenance, steps=self.info.steps, is_named=self.is_named)

    async def file(self, model: Model) -> bytes:
        """Return the adapter as one `.safetensors`."""
        if self.adapter is None:
            return self._kept().data
        if self.copy is None or self.copy.version != self.adapter.version:
            return await adapter_bytes(self.adapter, model)
        return self.copy.data

    async def packable(self, model: Model) -> AdapterTensors | None:
        """Return what the model computes with, in one or two bits; else None."""
        if self.lora.adapter_bits == 32:
            return None
        if self.adapter is not None:
            return await self.adapter.effective_tensors()
        return adapter_from_bytes(self._kept().data, None, model.config)[0]

    async def keep_copy(self, model: Model) -> None:
        """Keep the adapter off the GPU as it is now."""
        adapter, steps = self.adapter, self.info.steps
        if adapter is not None and (self.copy is None or self.copy.version != adapter.version):
            version = adapter.version
            self.copy = Copy(await adapter_bytes(adapter, model), version, steps)

    def leave(self) -> bool:
        """Be a file only, as it was when the copy was made; False where there is none."""
        self.adapter = None
        if self.copy is not None:
            self.info = replace(self.info, steps=self.copy.steps)
        return self.copy is not None

    def come_back(self, model: Model) -> None:
        """Lie on the GPU again, where the model does.

        Raises:
            AdapterError, OutOfGpuMemoryError: it stays a file.
        """
        kept = self._kept()
        tensors, lora = adapter_from_bytes(kept.data, None, model.config)
        adapter = upload_adapter(tensors, lora, model)
        self.adapter, self.lora = adapter, lora
        self.copy = replace(kept, version=adapter.version)

    def _kept(self) -> Copy:
        if self.copy is None:
            raise AdapterError(say("that adapter is no longer on the shelf: choose another one"))
        return self.copy
