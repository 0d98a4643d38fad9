"""The models that the methods start from, loaded as they are asked for and one at a time."""

from __future__ import annotations

from pathlib import Path

from app.errors import ConfigError
from app.gpu.device import Device
from app.io.folder import open_model_path
from app.models.loader import Model, load_model
from tests.bench.training.methods import Base, Method


class Bases:
    """Loads the model that a method starts from; the one before is freed.

    Args:
        device: Where they go.
        file: The GGUF file that a method without a base starts from.
        folder: HuggingFace folder of the same model in F16, F32 or BF16.
    """

    def __init__(self, device: Device, file: Path, folder: Path | None) -> None:
        self._device, self._file, self._folder = device, file, folder
        self._model: Model | None = None
        self._base: Base | None = None

    async def get(self, method: Method) -> Model:
        """Return the model, not trained by anyone.

        Raises:
            ConfigError: the method wants the folder and none was given.
        """
        if self._model is not None and method.base == self._base:
            return self._model
        self.destroy()
        self._model = await self._load(method.base)
        self._base = method.base
        return self._model

    async def _load(self, base: Base | None) -> Model:
        if base is None:
            return await load_model(self._device, open_model_path(self._file), ignore)
        if self._folder is None:
            raise ConfigError(
                "this method starts from float weights: give a HuggingFace folder with --folder"
            )
        source = open_model_path(self._folder)
        return await load_model(self._device, source, ignore, base.quantization, base.bits)

    def destroy(self) -> None:
        """Free the model that is loaded; the next is loaded anew, whatever it is."""
        if self._model is not None:
            self._model.destroy()
            self._model = None


def ignore(done: int, total: int) -> None:
    """Hear of progress and say nothing."""
