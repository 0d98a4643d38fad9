"""The low-rank side of a product, and in which form kernels read its A and B."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import ShapeError
from app.gpu.graph import Tensor
from app.gpu.kernels import Kernel

COLUMNS = 8
"""Columns of y that an invocation owns must belong to one module."""

NO_BOUND = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class PackedFactors:
    """A and B in few bits, as `app.ops.adapter_bits` writes them.

    Attributes:
        bits: Of a code: 1 or 2.
        lora_a: Codes and scales of A, u32.
        lora_b: Codes and scales of Bᵀ, u32.
    """

    bits: int
    lora_a: Tensor
    lora_b: Tensor


@dataclass(frozen=True, eq=False)
class LowRank:
    """The low-rank side of a product: adapters of the modules stacked in one matrix.

    Attributes:
        rank: Rank of each module.
        bounds: Rows of the stacked matrix before each module after the first.
        lora_a: (modules · rank, in) stacked A matrices.
        lora_b: (out, rank) stacked B matrices.
        packed: The form that kernels read instead of `lora_a` and `lora_b`, where there is one.
    """

    rank: int
    bounds: tuple[int, ...]
    lora_a: Tensor
    lora_b: Tensor
    packed: PackedFactors | None = None

    def __post_init__(self) -> None:
        """Raise ShapeError for modules that the kernels, four columns at a time, cannot tell."""
        if len(self.bounds) > 2 or any(bound % 4 for bound in self.bounds):
            raise ShapeError(
                f"modules begin at rows {self.bounds} of the stack: the kernels take at most "
                "three modules, each beginning at a multiple of 4"
            )

    @property
    def num_modules(self) -> int:
        """How many modules are stacked; at most three."""
        return len(self.bounds) + 1

    @property
    def bound_params(self) -> tuple[int, int]:
        """The two bounds as the shaders take them.

        Raises:
            ShapeError: a module does not begin at a multiple of 8, so that the columns of one
                invocation would belong to two.
        """
        if any(bound % COLUMNS for bound in self.bounds):
            raise ShapeError(
                f"modules begin at rows {self.bounds} of the stacked matrix: multiples of "
                f"{COLUMNS} are needed"
            )
        first, second = (*self.bounds, NO_BOUND, NO_BOUND)[:2]
        return first, second

    @property
    def factors_a(self) -> Tensor:
        """What a kernel binds to read A."""
        return self.packed.lora_a if self.packed else self.lora_a

    @property
    def factors_b(self) -> Tensor:
        """What a kernel binds to read B."""
        return self.packed.lora_b if self.packed else self.lora_b


def with_factors(kernel: Kernel, low_rank: LowRank | None) -> Kernel:
    """Return a kernel with the prelude that reads A or B in the form they are in."""
    packed = low_rank.packed if low_rank else None
    prelude, constants = "factors_f32", kernel.constants
    if packed is not None:
        prelude, constants = "factors_bits", (*constants, ("BITS", packed.bits))
    return Kernel(kernel.name, (*kernel.preludes, prelude), constants)
