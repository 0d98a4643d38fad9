"""Causal grouped-query attention, forward and backward, without storing scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.errors import ShapeError
from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.graph import Graph, Tensor, ceil_div
from app.gpu.kernels import Kernel
from app.gpu.tuning import Choice, choose

OPERANDS = {
    "attention_backward_query": "query_gradient_operands",
    "attention_backward_key": "key_gradient_operands",
    "attention": "attend_operands",
}
"""Preludes of what the kernels bind, by the beginning of their names."""

OWNED = {
    "attention_wide": 4,
    "attention_backward_query_wide": 4,
    "attention_backward_key_wide": 2,
    "attention_shared": 4,
    "attention_backward_query_shared": 2,
    "attention_backward_key_shared": 2,
    "attention_tiled": 1,
    "attention_backward_query_tiled": 1,
    "attention_backward_key_tiled": 1,
}
"""Queries, (query, head) pairs or keys that an invocation of a kernel owns; narrow ones, one."""

MAX_TILE_BYTES = 16384
"""Workgroup memory of the `_tiled` kernels at most: WebGPU's default limit."""

SLOWDOWN = 4.0
"""Attention runs at about a quarter of a product's rate; only submit sizes depend on it."""

MAX_WIDE_HEAD_DIM = 64
"""Larger heads, unrolled four times over, take a software adapter a minute to compile."""

HEAD_DIMS = (16, 32, 64, 96, 128)
"""Sizes with preludes wgsl/lib/head_dim_*.wgsl and shared_head_dim_*.wgsl."""


@dataclass(frozen=True)
class Heads:
    """Shape of an attention layer."""

    num_heads: int
    num_key_value_heads: int
    head_dim: int

    @property
    def prelude(self) -> str:
        """Stem of the WGSL prelude; raises ShapeError for a size that has none."""
        if self.head_dim not in HEAD_DIMS:
            raise ShapeError(
                f"head_dim is {self.head_dim}: the attention kernels come for "
                f"{', '.join(map(str, HEAD_DIMS))}"
            )
        return f"head_dim_{self.head_dim}"

    @property
    def heads_per_key(self) -> int:
        """Query heads that share a key head."""
        return self.num_heads // self.num_key_value_heads

    @property
    def width(self) -> int:
        """Columns of queries, keys and values side by side."""
        return (self.num_heads + 2 * self.num_key_value_heads) * self.head_dim

    @property
    def quads(self) -> tuple[int, int, int]:
        """vec4s of a qkv row, and where its keys and its values begin."""
        per_head = self.head_dim // 4
        k_offset = self.num_heads * per_head
        return self.width // 4, k_offset, k_offset + self.num_key_value_heads * per_head


def attention_choices(
    limits: Limits, features: frozenset[str], info: AdapterInfo, heads: Heads
) -> list[Choice]:
    """Return the ways to compute `attention` on a device; the first runs anywhere.

    Args:
        limits: What a workgroup may hold.
        features: Features of the device, in either host's names.
        info: Whether subgroups may be used, and their size.
        heads: Shape of the layer.
    """
    return _choices("attention", limits, info, heads)


def attention_query_choices(
    limits: Limits, features: frozenset[str], info: AdapterInfo, heads: Heads
) -> list[Choice]:
    """Return the ways to compute the gradient of queries; args are those of `attention_choices`."""
    return _choices("attention_backward_query", limits, info, heads)


def attention_key_choices(
    limits: Limits, features: frozenset[str], info: AdapterInfo, heads: Heads
) -> list[Choice]:
    """Return the ways to compute the gradients of keys and values, as `attention_choices`."""
    return _choices("attention_backward_key", limits, info, heads)


def _choices(shader: str, limits: Limits, info: AdapterInfo, heads: Heads) -> list[Choice]:
    lanes = [lanes for lanes in (8, 16, 32, 64) if lanes <= limits.max_invocations]
    choices = [choose(shader, LANES=count) for count in lanes]
    if heads.head_dim <= MAX_WIDE_HEAD_DIM:
        choices += [choose(f"{shader}_wide", LANES=count) for count in lanes[:2]]
    if info.subgroup_size >= 8:
        choices += [choose(f"{shader}_shared", "blocks_subgroup", LANES=8)]
    if limits.max_workgroup_storage_bytes >= MAX_TILE_BYTES:
        choices += [choose(f"{shader}_tiled", LANES=count) for count in lanes[1:]]
    return choices


def attention(
    graph: Graph,
    qkv: Tensor,
    positions: Tensor,
    heads: Heads,
    *,
    num_sequences: int,
    cache: tuple[Tensor, Tensor] | None = None,
    starts: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Record o = softmax(q·kᵀ/√D, causal)·v for every head.

    Args:
        graph: Where to record.
        qkv: (num_sequences · queries, heads.width), rotated.
        positions: (rows,), u32: a query sees the keys start..start + position of its sequence.
        heads: Shape of the layer.
        num_sequences: B; the rows are B sequences of equal length.
        cache: Keys and values, (room, HK · D) each, instead of those in qkv; B is 1 then.
        starts: (rows,), u32, rising along a sequence that holds several parts: the key at which a
            query's part begins, and positions begin anew. None: one part, start is 0.

    Returns:
        o, (rows, H · D), and logsumexp, (rows, H), which the backward needs.

    Raises:
        ShapeError: rows do not divide into the sequences, or head_dim has no kernel.

    Reference: app.reference.attention; arXiv:2205.14135.
    """
    rows, queries = _queries(qkv, heads, num_sequences)
    stride, k_offset, v_offset = heads.quads
    keys, k, v, key_stride = queries, qkv, qkv, stride
    if cache is not None:
        k, v = cache
        keys, key_stride, k_offset, v_offset = k.shape[0], k.shape[1] // 4, 0, 0
    o = graph.empty("attention", rows, heads.num_heads * heads.head_dim)
    logsumexp = graph.empty("logsumexp", rows, heads.num_heads)
    kernel, grid = _launch(graph.tuning.attention, queries, heads, num_sequences, starts)
    graph.dispatch(
        kernel,
        (positions, qkv, k, v, o, logsumexp, starts or positions),
        grid,
        (
            queries,
            keys,
            heads.num_heads,
            heads.heads_per_key,
            stride,
            key_stride,
            k_offset,
            key_stride,
            v_offset,
            heads.head_dim**-0.5,
        ),
        flops=2.0 * rows * keys * heads.num_heads * heads.head_dim * SLOWDOWN,
    )
    return o, logsumexp


def attention_backward(
    graph: Graph,
    d_o: Tensor,
    qkv: Tensor,
    o: Tensor,
    logsumexp: Tensor,
    positions: Tensor,
    heads: Heads,
    *,
    num_sequences: int,
    starts: Tensor | None = None,
) -> Tensor:
    """Record the gradients of queries, keys and values.

    Args:
        graph: Where to record.
        d_o: (rows, H · D).
        qkv: (rows, heads.width), as in the forward.
        o: (rows, H · D) from `attention`.
        logsumexp: (rows, H) from `attention`.
        positions: (rows,), u32; start + position is a query's index in its sequence.
        heads: Shape of the layer.
        num_sequences: B.
        starts: (rows,), u32, or None, as in `attention`.

    Returns:
        d_qkv, shaped like qkv; still to be rotated back.

    Raises:
        ShapeError: as `attention`.

    Reference: app.reference.attention; arXiv:2307.08691.
    """
    rows, queries = _queries(qkv, heads, num_sequences)
    d_qkv = graph.empty("attention_gradient", rows, heads.width)
    delta = graph.empty("delta", rows, heads.num_heads)
    params = (
        queries,
        heads.num_heads,
        heads.heads_per_key,
        *heads.quads,
        heads.head_dim**-0.5,
    )
    work = float(rows * queries * heads.num_heads * heads.head_dim) * SLOWDOWN
    kernel, grid = _launch(graph.tuning.attention_query, queries, heads, num_sequences, starts)
    graph.dispatch(
        kernel,
        (positions, qkv, o, d_o, logsumexp, d_qkv, delta, starts or positions),
        grid,
        params,
        flops=3.0 * work,
    )
    kernel, grid = _launch(graph.tuning.attention_key, queries, heads, num_sequences, starts)
    graph.dispatch(
        kernel,
        (positions, qkv, d_o, logsumexp, delta, d_qkv, starts or positions),
        grid,
        params,
        flops=4.0 * work,
    )
    return d_qkv


def _launch(
    choice: Choice, queries: int, heads: Heads, num_sequences: int, starts: Tensor | None
) -> tuple[Kernel, tuple[int, int, int]]:
    """Return the kernel and its grid.

    A wide one, of which an invocation owns several rows, pays where there are enough rows and
    the heads compile in seconds; else its narrow twin is taken.
    """
    lanes, is_wide = choice["LANES"], choice.shader.endswith("_wide")
    if is_wide and (heads.head_dim > MAX_WIDE_HEAD_DIM or queries <= lanes):
        choice = replace(choice, shader=choice.shader.removesuffix("_wide"))
    if starts is not None:
        choice = replace(choice, constants=(*choice.constants, ("HAS_STARTS", 1)))
    is_shared, is_key = choice.shader.endswith("_shared"), "_key" in choice.shader
    has_pairs = (is_shared or choice.shader.endswith("_tiled")) and not is_key
    rows = queries * heads.heads_per_key if has_pairs else queries
    blocks = ceil_div(rows, lanes * OWNED.get(choice.shader, 1))
    operands = next(v for k, v in OPERANDS.items() if choice.shader.startswith(k))
    kernel = choice.kernel(operands, f"shared_{heads.prelude}" if is_shared else heads.prelude)
    num_heads = heads.num_key_value_heads if has_pairs or is_key else heads.num_heads
    return kernel, (blocks, num_heads, num_sequences)


def _queries(qkv: Tensor, heads: Heads, num_sequences: int) -> tuple[int, int]:
    rows, columns = qkv.shape
    if columns != heads.width or rows % num_sequences:
        raise ShapeError(
            f"qkv is {qkv.shape} but {num_sequences} equal sequences of {heads.width} "
            "columns are needed"
        )
    return rows, rows // num_sequences
