"""How each operation class is computed: what suits a software adapter and what suits a GPU.

These are priors, which `app.plan.autotune` replaces by what it measures. A software adapter
runs a workgroup's invocations in vectors of 8 on one core and pays dearly for barriers; a GPU
wants at least a subgroup's width.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from app.gpu.adapter import AdapterInfo
from app.gpu.kernels import Kernel

TuneMode = Literal["auto", "always", "never"]
"""When to measure: see `app.plan.tuning_policy`."""

TUNE_MODES: tuple[TuneMode, ...] = get_args(TuneMode)


@dataclass(frozen=True)
class Choice:
    """One way to compute an operation class: a shader and what specialises it.

    Attributes:
        shader: File stem under wgsl/.
        preludes: Stems under wgsl/lib/ that the choice adds to those of the operands.
        constants: Values of `override` declarations; grids follow from them.
    """

    shader: str
    preludes: tuple[str, ...] = ()
    constants: tuple[tuple[str, int], ...] = ()

    @property
    def label(self) -> str:
        """Shader with what specialises it, for people and for the cache of a tuning."""
        return self.kernel().label

    def __getitem__(self, name: str) -> int:
        """Return a constant."""
        return dict(self.constants)[name]

    def kernel(self, *preludes: str) -> Kernel:
        """Return the kernel, the choice's preludes in front of those of the operands."""
        return Kernel(self.shader, (*self.preludes, *preludes), self.constants)


def choose(shader: str, *preludes: str, **constants: int) -> Choice:
    """Return a choice, written shortly: `choose("linear", "rows_direct", LANES=32)`."""
    return Choice(shader, preludes, tuple(constants.items()))


@dataclass(frozen=True)
class Tuning:
    """A choice for each operation class.

    Lanes are invocations of a workgroup along columns, slices those along the contraction.

    Attributes:
        forward: Product with a frozen matrix.
        backward: Gradient through one.
        vector: Product of one or two rows: decoding.
        attention: Forward, for long enough sequences; short ones take the narrow kernel.
        attention_query: Gradient of queries.
        attention_key: Gradient of keys and values.
        head_flops: Work of one product with the head: rows of logits come in such chunks.
        prefill_rows: How many tokens of a prompt are computed together, falling; the smallest
            size that holds what is left is taken, down to the one of a new token.
        prefill: Product of a prompt's rows, where it need not equal `forward`: in eight bits.
        decode: Product of a new token's row, where it need not equal `vector`.
    """

    forward: Choice
    backward: Choice
    vector: Choice
    attention: Choice
    attention_query: Choice
    attention_key: Choice
    norm_lanes: int
    hidden_slices: int
    gradient_lanes: int
    gradient_slices: int
    head_flops: float
    prefill_rows: tuple[int, ...]
    prefill: Choice | None = None
    decode: Choice | None = None

    def for_chat(self) -> Tuning:
        """Return the tuning of answers, whose products may be rounded; never one to train with."""
        return replace(
            self, forward=self.prefill or self.forward, vector=self.decode or self.vector
        )

    def describe(self) -> dict[str, str]:
        """Return which variant each operation class uses, for people."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: value.label if isinstance(value, Choice) else f"{value}"
            for name, value in values.items()
            if value is not None
        }

    def head_rows(self, hidden_size: int, vocab_size: int) -> int:
        """Return how many rows of logits to make at a time, a multiple of 8.

        The same on every run of a device: a chunk's loss is one term of the sum, so a chunk
        that followed the measured speed would change the last bit of a loss.
        """
        rows = int(self.head_flops / (2.0 * hidden_size * vocab_size)) // 8 * 8
        return max(8, min(rows, 512))


SOFTWARE = Tuning(
    forward=choose("linear_wide", "rows_direct", LANES=8),
    backward=choose("linear_backward_wide", "rows_direct", LANES=8),
    vector=choose("linear_vector", "chunk_direct", LANES=8, SLICES=1),
    attention=choose("attention_wide", LANES=8),
    attention_query=choose("attention_backward_query_wide", LANES=8),
    attention_key=choose("attention_backward_key_wide", LANES=8),
    norm_lanes=8,
    hidden_slices=8,
    gradient_lanes=8,
    gradient_slices=1,
    head_flops=1e9,
    prefill_rows=(32, 8, 1),
)

SOFTWARE_SUBGROUPS = replace(
    SOFTWARE,
    forward=choose("linear_wide", "rows_subgroup", LANES=8),
    backward=choose("linear_backward_wide", "rows_subgroup", LANES=8),
    vector=choose("linear_vector", "chunk_subgroup", LANES=8, SLICES=1),
    attention=choose("attention_shared", "blocks_subgroup", LANES=8),
    attention_query=choose("attention_backward_query_shared", "blocks_subgroup", LANES=8),
    attention_key=choose("attention_backward_key_shared", "blocks_subgroup", LANES=8),
)
"""Where subgroups are known to have room for eight rows: on lavapipe a load costs every invocation
its own, even of one address, and sharing them makes products 1.7 times as fast."""

GPU = Tuning(
    forward=choose("linear_tile", "real_f32", LANES=16, BANDS=8),
    backward=choose("linear_backward_tile", "real_f32", LANES=16, BANDS=8),
    vector=choose("linear_vector", "chunk_direct", LANES=8, SLICES=16),
    attention=choose("attention_tiled", LANES=32),
    attention_query=choose("attention_backward_query_tiled", LANES=32),
    attention_key=choose("attention_backward_key_tiled", LANES=32),
    norm_lanes=64,
    hidden_slices=32,
    gradient_lanes=8,
    gradient_slices=8,
    head_flops=8e9,
    prefill_rows=(128, 16, 1),
)


def default_tuning(info: AdapterInfo) -> Tuning:
    """Return the prior for an adapter."""
    if not info.is_software:
        return GPU
    return SOFTWARE_SUBGROUPS if info.subgroup_size >= 8 else SOFTWARE
