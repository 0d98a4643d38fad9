"""The trainable parameters: all A and B matrices in one flat array.

One array means one gradient-norm pass and one optimizer dispatch for everything. Each
layer's stacked projections have one segment for A (modules · rank, in) and one for B
(out, rank), starting at multiples of 256 bytes so that they can be bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.config import LoraConfig, ModelConfig
from app.errors import AdapterError
from app.gpu.device import Device
from app.gpu.graph import Storage, Tensor, persistent
from app.gpu.memory import padded
from app.messages import say
from app.nn.packed_layout import PackedLayout
from app.nn.weights import PROJECTION_GROUPS, group_bounds, group_shape, module_path
from app.ops.low_rank import LowRank

AdapterTensors = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Module path → (A (rank, in), B (out, rank)), rows in HuggingFace order."""

SEGMENT_ELEMENTS = 64


class AdapterLayout:
    """Where each matrix lies in the flat array.

    Attributes:
        size: Elements of the array, padding included (padding stays zero).
        packed: Where the codes and scales of a low-bit adapter lie; None in 32 bits.
    """

    def __init__(self, model: ModelConfig, lora: LoraConfig) -> None:
        self.model = model
        self.lora = lora
        self._offsets: dict[tuple[int, str], tuple[int, int]] = {}
        offset = 0
        for layer in range(model.num_hidden_layers):
            for group, modules in PROJECTION_GROUPS.items():
                if not set(modules) & set(lora.target_modules):
                    continue
                out_features, in_features = group_shape(model, group)
                a_size = len(modules) * lora.rank * in_features
                b_offset = offset + _aligned(a_size)
                self._offsets[layer, group] = (offset, b_offset)
                offset = b_offset + _aligned(out_features * lora.rank)
        self.size = offset
        bits = lora.adapter_bits
        self.packed = PackedLayout(model, lora.rank, bits, self._offsets) if bits < 32 else None

    def low_rank(self, flat: Tensor, layer: int, group: str) -> LowRank | None:
        """Return views of one group's A and B in a flat array; None if it has no adapter."""
        offsets = self._offsets.get((layer, group))
        if offsets is None:
            return None
        out_features, in_features = group_shape(self.model, group)
        modules, rank = PROJECTION_GROUPS[group], self.lora.rank
        a_shape, b_shape = (len(modules) * rank, in_features), (out_features, rank)
        return LowRank(
            rank,
            group_bounds(self.model, group),
            Tensor(a_shape, flat.storage, offset_bytes=4 * offsets[0]),
            Tensor(b_shape, flat.storage, offset_bytes=4 * offsets[1]),
        )

    def module_slices(self) -> dict[str, tuple[slice, slice]]:
        """Return for each target module path the flat slices of its A and its B.

        A module's rows are contiguous in both stacks, so each is one slice.
        """
        slices = {}
        rank = self.lora.rank
        for (layer, group), (a_offset, b_offset) in self._offsets.items():
            row = 0
            for index, module in enumerate(PROJECTION_GROUPS[group]):
                out_features, in_features = self.model.projection_shape(module)
                if module in self.lora.target_modules:
                    a_start = a_offset + index * rank * in_features
                    b_start = b_offset + row * rank
                    slices[module_path(layer, module)] = (
                        slice(a_start, a_start + rank * in_features),
                        slice(b_start, b_start + out_features * rank),
                    )
                row += out_features
        return slices

    def matrices(self) -> list[tuple[int, int, int, bool]]:
        """Return (start, rows, columns, is a B) of every A and B in the flat array."""
        found = []
        for path, (a_slice, b_slice) in self.module_slices().items():
            a_shape, b_shape = self._shapes(path.rsplit(".", 1)[-1])
            found += [(a_slice.start, *a_shape, False), (b_slice.start, *b_shape, True)]
        return found

    def _shapes(self, module: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the shapes of a module's A and B."""
        out_features, in_features = self.model.projection_shape(module)
        return (self.lora.rank, in_features), (out_features, self.lora.rank)

    def pack(self, tensors: AdapterTensors) -> NDArray[np.float32]:
        """Return the flat array of some matrices.

        Modules that are not targets stay zero, and so do their gradients: with A and B both
        zero, each is the other's factor.

        Raises:
            AdapterError: a module is missing, unknown, or has the wrong shape.
        """
        slices = self.module_slices()
        if set(tensors) != set(slices):
            wrong = sorted(set(tensors) ^ set(slices))
            raise AdapterError(
                say(
                    "the adapter and this model differ in {num_modules} modules, {module} among "
                    "them: load an adapter made for this model",
                    num_modules=len(wrong),
                    module=wrong[0],
                )
            )
        flat = np.zeros(self.size, np.float32)
        for path, (a, b) in tensors.items():
            a_slice, b_slice = slices[path]
            a_shape, b_shape = self._shapes(path.rsplit(".", 1)[-1])
            for name, matrix, part, shape in (
                ("lora_A", a, a_slice, a_shape),
                ("lora_B", b, b_slice, b_shape),
            ):
                if matrix.shape != shape:
                    raise AdapterError(
                        say(
                            "{tensor} has shape {shape}, {expected} was expected: load an "
                            "adapter made for this model",
                            tensor=f"{path}.{name}",
                            shape=f"{matrix.shape}",
                            expected=f"{shape}",
                        )
                    )
                flat[part] = matrix.reshape(-1)
        return flat

    def unpack(
        self, flat: NDArray[np.float32]
    ) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return (A (rank, in), B (out, rank)) of every target module, as copies."""
        rank = self.lora.rank
        return {
            path: (
                flat[a_slice].reshape(rank, -1).copy(),
                flat[b_slice].reshape(-1, rank).copy(),
            )
            for path, (a_slice, b_slice) in self.module_slices().items()
        }


def initial_tensors(
    model: ModelConfig, lora: LoraConfig, seed: int
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return a fresh adapter: A Kaiming-uniform with a = √5, B zero, so that it changes nothing.

    With a = √5 the bound is 1/√in_features, PEFT's default initialisation.
    """
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in range(model.num_hidden_layers):
        for module in lora.target_modules:
            out_features, in_features = model.projection_shape(module)
            bound = 1 / math.sqrt(in_features)
            a = random.uniform(-bound, bound, (lora.rank, in_features)).astype(np.float32)
            b = np.zeros((out_features, lora.rank), np.float32)
            tensors[module_path(layer, module)] = (a, b)
    return tensors


class Adapter:
    """A LoRA adapter on the GPU.

    Attributes:
        parameters: What is trained, flat, f32.
        packed: In few bits, what the model computes with; None in 32 bits, where that is
            `parameters` itself.
        version: Changes whenever the parameters do, so that what was computed with them
            (cached keys and values) can be told to be stale.
    """

    def __init__(
        self, model: ModelConfig, device: Device, lora: LoraConfig, *, is_planned: bool = False
    ) -> None:
        """Allocate the parameters; where it `is_planned` only, they get no buffer."""
        self.lora = lora.check()
        self.layout = AdapterLayout(model, lora)
        self.version = 0
        self.parameters = persistent("adapter", (self.layout.size,), "adapter")
        self._model = model
        self._device = device
        self.packed: Tensor | None = None
        if self.layout.packed is not None:
            shape = (self.layout.packed.size,)
            self.packed = persistent("packed adapter", shape, "adapter", "u32")
        try:
            for storage in () if is_planned else self.storages():
                storage.buffer = device.create_buffer(padded(storage.size_bytes), storage.label)
        except BaseException:
            self.destroy()
            raise

    @classmethod
    def create(cls, model: ModelConfig, device: Device, lora: LoraConfig, seed: int) -> Adapter:
        """Return a freshly initialised adapter; same seed, same numbers."""
        adapter = cls(model, device, lora)
        adapter.load(initial_tensors(model, lora, seed))
        return adapter

    def load(self, tensors: AdapterTensors) -> None:
        """Replace all parameters. Raises AdapterError, leaving them as they were."""
        self.write(self.layout.pack(tensors))

    def write(self, flat: NDArray[np.float32]) -> None:
        """Replace all parameters by a flat array, (layout.size,), and pack them."""
        self._device.write(self.parameters.storage.buffer, 0, flat)
        if self.packed is not None and self.layout.packed is not None:
            self._device.write(self.packed.storage.buffer, 0, self.layout.packed.pack(flat))
        self.version += 1

    async def tensors(self) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Read the parameters back."""
        return self.layout.unpack(await self._read(self.parameters))

    async def effective_tensors(
        self,
    ) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Read back what the model computes with: in few bits the rounded parameters.

        That is what an adapter file holds.
        """
        if self.packed is None or self.layout.packed is None:
            return await self.tensors()
        words = (await self._read(self.packed)).view(np.uint32)
        return self.layout.unpack(self.layout.packed.unpack(words, self.layout.size))

    async def _read(self, tensor: Tensor) -> NDArray[np.float32]:
        data = await self._device.read(tensor.storage.buffer, 0, tensor.size_bytes)
        return np.frombuffer(data, np.float32)

    def low_rank(self, layer: int, group: str) -> LowRank | None:
        """Return one group's A and B for recording; None if it has no adapter."""
        low_rank = self.layout.low_rank(self.parameters, layer, group)
        if low_rank is None or self.packed is None or self.layout.packed is None:
            return low_rank
        return replace(low_rank, packed=self.layout.packed.factors(self.packed, layer, group))

    def storages(self) -> list[Storage]:
        """Return what holds the parameters, and in few bits what is computed with."""
        tensors = (self.parameters, self.packed)
        return [tensor.storage for tensor in tensors if tensor is not None]

    def destroy(self) -> None:
        """Free the parameters."""
        for storage in self.storages():
            if storage.buffer is not None:
                self._device.destroy_buffer(storage.buffer)
                storage.buffer = None


def _aligned(elements: int) -> int:
    return -(-elements // SEGMENT_ELEMENTS) * SEGMENT_ELEMENTS
