"""Record one operation, run it on a device, compare what comes back with its numpy twin.

A case is a function that records operations into a `Bench`, says what its inputs are and
what it expects after each launch. Whatever the graph does not write itself is filled with
NaN first, so that a kernel that reads what it should have written is found out, and a second
launch tells a kernel that overwrites from one that accumulates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from app.checks.quantized_words import pack_quantized
from app.gpu.device import Device
from app.gpu.graph import Dtype, Graph, Tensor, persistent
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.gpu.tuning import Tuning
from app.ops.matrix import FORMAT_OF_TYPE, Matrix, new_matrix, repack
from app.ops.quantize import nf4_map
from app.reference.gguf_blocks import dequantize_blocks, quantize_blocks
from app.reference.quantize import quantize_nf4
from app.reference.tolerances import Tolerance, nmse

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]

DTYPES: dict[str, Dtype] = {"float32": "f32", "uint32": "u32", "int32": "i32"}
NUMPY_DTYPES: dict[Dtype, type[np.generic]] = {"f32": np.float32, "u32": np.uint32, "i32": np.int32}


@dataclass(frozen=True)
class Comparison:
    """A result of the device beside what the twin says."""

    name: str
    actual: Array
    expected: Array
    tolerance: Tolerance

    @property
    def max_abs_error(self) -> float:
        """Largest |actual - expected|; infinity where something is not finite."""
        return float(self._errors().max())

    @property
    def worst(self) -> tuple[float, float]:
        """The error and the tolerance of the element whose error takes most of its tolerance.

        The error is infinity where the element is not finite.
        """
        errors, allowed = self._errors(), np.broadcast_to(self._allowed(), self.actual.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(errors == 0, 0.0, errors / allowed)
        # Where nothing but equality is allowed, all who differ have the same share.
        index = int(np.argmax(shares)) if np.isfinite(shares).all() else int(np.argmax(errors))
        return float(errors.flat[index]), float(allowed.flat[index])

    @property
    def nmse(self) -> float:
        """Normalised mean squared error."""
        return nmse(self.actual, self.expected)

    @property
    def ok(self) -> bool:
        """Whether every element lies within the tolerance; NaN never does."""
        errors = self._errors()
        return bool((np.isfinite(errors) & (errors <= self._allowed())).all())

    def _errors(self) -> npt.NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            errors = np.abs(self.actual.astype(np.float64) - self.expected.astype(np.float64))
        return np.where(np.isfinite(errors), errors, np.inf)

    def _allowed(self) -> npt.NDArray[np.float64]:
        allowed = self.tolerance.atol + self.tolerance.rtol * np.abs(self.expected)
        return np.asarray(allowed, np.float64)


@dataclass(frozen=True)
class Expectation:
    """What a tensor holds after each launch.

    Attributes:
        starts_zeroed: It is not filled with NaN first: a kernel may leave parts unwritten.
    """

    name: str
    tensor: Tensor
    values: tuple[Array, ...]
    tolerance: Tolerance
    starts_zeroed: bool


@dataclass
class Bench:
    """Where a case records what it does and what it expects.

    Attributes:
        tuning: Workgroup shapes to test with.
        rng: Source of the inputs.
        setup: Runs once, before the launches: brings weights into the engine's layout.
        graph: What is tested; replayed once a launch.
    """

    tuning: Tuning
    rng: np.random.Generator
    setup: Graph = field(init=False)
    graph: Graph = field(init=False)
    launches: int = 2
    inputs: dict[int, list[tuple[Tensor, Array]]] = field(default_factory=dict)
    expectations: list[Expectation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.setup = Graph("setup", self.tuning)
        self.graph = Graph("case", self.tuning)

    def normal(self, *shape: int, scale: float = 1.0) -> Float32Array:
        """Return normally distributed float32 values."""
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def tensor(self, label: str, values: Array) -> Tensor:
        """Return a tensor that holds these values at the first launch."""
        tensor = persistent(label, values.shape, "scratch", DTYPES[values.dtype.name])
        self.write(tensor, values)
        return tensor

    def write(self, tensor: Tensor, values: Array, launch: int = 0) -> None:
        """Write values before a launch."""
        self.inputs.setdefault(launch, []).append((tensor, np.ascontiguousarray(values)))

    def blocks(self, data: bytes) -> Tensor:
        """Return the bytes of GGUF blocks as words."""
        return self.tensor("blocks", np.frombuffer(data + bytes(-len(data) % 4), np.uint32))

    def matrix(self, values: Float32Array, gguf_type: str) -> tuple[Matrix, Float32Array]:
        """Return a packed matrix, and the weights it stands for exactly; NF4 is packed in numpy."""
        rows, columns = values.shape
        if gguf_type == "NF4":
            matrix = new_matrix("weight", "nf4", rows, columns)
            words, scales = pack_quantized(matrix, [values])
            self.write(matrix.words, words)
            self.write(matrix.scales, scales)
            return matrix, quantize_nf4(values, nf4_map()).values(nf4_map())
        data = quantize_blocks(values, gguf_type)
        matrix = new_matrix("weight", FORMAT_OF_TYPE[gguf_type], rows, columns)
        repack(
            self.setup,
            self.blocks(data),
            matrix,
            gguf_type=gguf_type,
            num_rows=rows,
            first_row=0,
            offset=0,
        )
        return matrix, dequantize_blocks(data, gguf_type, values.shape)

    def expect(
        self,
        name: str,
        tensor: Tensor,
        *values: Array,
        tolerance: Tolerance,
        starts_zeroed: bool = False,
    ) -> None:
        """Say what a tensor holds after each launch; one value stands for all launches."""
        if len(values) == 1:
            values *= self.launches
        if len(values) != self.launches:
            raise ValueError(f"{name}: {len(values)} values for {self.launches} launches")
        self.expectations.append(Expectation(name, tensor, values, tolerance, starts_zeroed))


Case = Callable[..., None]
"""Records into a Bench; its keyword arguments are shapes."""


def record(case: Case, tuning: Tuning, seed: int, **shape: Any) -> Bench:
    """Return what a case records and expects; nothing touches a device yet."""
    bench = Bench(tuning, np.random.default_rng(seed))
    case(bench, **shape)
    for expectation in bench.expectations:
        # A slot would be reused before it is read back.
        expectation.tensor.storage.is_transient = False
    return bench


async def run_bench(device: Device, bench: Bench) -> list[Comparison]:
    """Run what was recorded; give the device its memory back.

    Raises:
        GpuError: a kernel does not compile or run.
    """
    graphs = [graph for graph in (bench.setup, bench.graph) if graph.nodes]
    plan = plan_memory(graphs)
    allocation = Allocation.create(device, plan)
    try:
        *setup, program = await build_programs(device, graphs, allocation)
        written = {tensor.storage for inputs in bench.inputs.values() for tensor, _ in inputs}
        spoiled = list(zip(allocation.slots, plan.slots, strict=True))
        spoiled += [
            (expectation.tensor.storage.buffer, expectation.tensor.storage.size_bytes)
            for expectation in bench.expectations
            if not expectation.starts_zeroed and expectation.tensor.storage not in written
        ]
        for buffer, size in spoiled:
            device.write(buffer, 0, b"\xff" * size)
        comparisons = []
        for launch in range(bench.launches):
            for tensor, values in bench.inputs.get(launch, []):
                device.write(allocation.buffer_of(tensor.storage), tensor.offset_bytes, values)
            for once in setup if launch == 0 else ():
                await device.run(once)
            await device.run(program)
            comparisons += [
                Comparison(
                    f"{expectation.name} of launch {launch + 1}",
                    await _read(device, allocation, expectation.tensor),
                    np.asarray(expectation.values[launch]),
                    expectation.tolerance,
                )
                for expectation in bench.expectations
            ]
        return comparisons
    finally:
        allocation.destroy()


async def _read(device: Device, allocation: Allocation, tensor: Tensor) -> Array:
    buffer = allocation.buffer_of(tensor.storage)
    data = await device.read(buffer, tensor.offset_bytes, tensor.size_bytes)
    return np.frombuffer(data, NUMPY_DTYPES[tensor.dtype]).reshape(tensor.shape)
