"""Cases of the operations of a decoder layer other than products."""

from __future__ import annotations

import numpy as np

from app.checks.bench import Array, Bench
from app.ops.attention import Heads, attention, attention_backward
from app.ops.kv_cache import kv_append, take_row
from app.ops.rms_norm import rms_norm, rms_norm_backward
from app.ops.rope import rope, rope_table
from app.ops.swiglu import swiglu, swiglu_backward
from app.reference import attention as attention_twin
from app.reference import rms_norm as rms_norm_twin
from app.reference import rope as rope_twin
from app.reference import swiglu as swiglu_twin
from app.reference.tolerances import BACKWARD, ELEMENTWISE, EXACT, REDUCTION

EPS = 1e-5
THETA = 10000.0


def rms_norm_case(bench: Bench, *, rows: int, columns: int, scale: float = 1.0) -> None:
    """The norm, and its gradient with and without one that flows past it."""
    x, dy = bench.normal(rows, columns, scale=scale), bench.normal(rows, columns)
    weight, skip = 1 + bench.normal(columns, scale=0.1), bench.normal(rows, columns)
    x_tensor, weight_tensor = bench.tensor("x", x), bench.tensor("weight", weight)
    dy_tensor = bench.tensor("dy", dy)
    y, rstd = rms_norm(bench.graph, x_tensor, weight_tensor, eps=EPS)
    dx = rms_norm_backward(bench.graph, dy_tensor, x_tensor, weight_tensor, rstd)
    skipped = rms_norm_backward(
        bench.graph, dy_tensor, x_tensor, weight_tensor, rstd, skip=bench.tensor("skip", skip)
    )
    expected_y, expected_rstd = rms_norm_twin.rms_norm(x, weight, eps=EPS)
    expected_dx = rms_norm_twin.rms_norm_backward(dy, x, weight, expected_rstd)
    bench.expect("y", y, expected_y, tolerance=ELEMENTWISE)
    bench.expect("rstd", rstd, expected_rstd, tolerance=ELEMENTWISE)
    bench.expect("dx", dx, expected_dx, tolerance=REDUCTION)
    bench.expect("dx + skip", skipped, expected_dx + skip, tolerance=REDUCTION)


def rope_case(
    bench: Bench, *, rows: int, num_heads: int, head_dim: int, extra_columns: int, first: int
) -> None:
    """The rotation in place; columns after the heads stay as they are."""
    positions = (first + np.arange(rows)).astype(np.uint32)
    values = bench.normal(rows, num_heads * head_dim + extra_columns)
    table = bench.tensor("table", rope_table(first + rows, head_dim, THETA))
    position_tensor = bench.tensor("positions", positions)
    for name, rotate in (("y", rope_twin.rope), ("dx", rope_twin.rope_backward)):
        x = bench.tensor("x", values)
        rope(
            bench.graph,
            x,
            position_tensor,
            table,
            num_heads=num_heads,
            head_dim=head_dim,
            is_backward=name == "dx",
        )
        expected: list[Array] = [values]
        for _ in range(bench.launches):
            heads, rest = np.split(expected[-1], [num_heads * head_dim], axis=1)
            turned = rotate(heads.reshape(rows, num_heads, head_dim), positions, theta=THETA)
            expected.append(np.concatenate([turned.reshape(rows, -1), rest], axis=1))
        bench.expect(name, x, *expected[1:], tolerance=ELEMENTWISE)


def swiglu_case(bench: Bench, *, rows: int, columns: int, scale: float = 1.0) -> None:
    """The activation and its gradient; a large scale reaches where e^−g overflows."""
    gate_up, dy = bench.normal(rows, 2 * columns), bench.normal(rows, columns)
    gate_up[:, :columns] *= np.float32(scale)
    gate_up_tensor = bench.tensor("gate_up", gate_up)
    y = swiglu(bench.graph, gate_up_tensor)
    d_gate_up = swiglu_backward(bench.graph, bench.tensor("dy", dy), gate_up_tensor)
    bench.expect("y", y, swiglu_twin.swiglu(gate_up), tolerance=ELEMENTWISE)
    expected = swiglu_twin.swiglu_backward(dy, gate_up)
    bench.expect("d_gate_up", d_gate_up, expected, tolerance=ELEMENTWISE)


def attention_case(
    bench: Bench,
    *,
    num_sequences: int,
    length: int,
    heads: Heads,
    scale: float = 1.0,
    parts: tuple[int, ...] = (),
) -> None:
    """Several sequences at once, forward and backward; each may hold parts of given lengths."""
    rows = num_sequences * length
    qkv = bench.normal(rows, heads.width, scale=scale)
    d_o = bench.normal(rows, heads.num_heads * heads.head_dim)
    starts = np.repeat(np.cumsum((0, *parts[:-1])), parts or length).astype(np.uint32)
    positions = np.tile(np.arange(length, dtype=np.uint32) - starts, num_sequences)
    starts_tensor = bench.tensor("starts", np.tile(starts, num_sequences)) if parts else None
    qkv_tensor, d_o_tensor = bench.tensor("qkv", qkv), bench.tensor("do", d_o)
    position_tensor = bench.tensor("positions", positions)
    o, logsumexp = attention(
        bench.graph,
        qkv_tensor,
        position_tensor,
        heads,
        num_sequences=num_sequences,
        starts=starts_tensor,
    )
    d_qkv = attention_backward(
        bench.graph,
        d_o_tensor,
        qkv_tensor,
        o,
        logsumexp,
        position_tensor,
        heads,
        num_sequences=num_sequences,
        starts=starts_tensor,
    )
    q, k, v = split_qkv(qkv, heads, num_sequences)
    seen = np.tile(starts.astype(np.int64), (num_sequences, 1))
    expected_o, expected_logsumexp = attention_twin.attention(q, k, v, starts=seen)
    expected = attention_twin.attention_backward(
        d_o.reshape(expected_o.shape), q, k, v, expected_o, expected_logsumexp, starts=seen
    )
    joined = np.concatenate([part.reshape(rows, -1) for part in expected], axis=1)
    bench.expect("o", o, expected_o.reshape(rows, -1), tolerance=REDUCTION)
    bench.expect("logsumexp", logsumexp, expected_logsumexp.reshape(rows, -1), tolerance=REDUCTION)
    bench.expect("d_qkv", d_qkv, joined, tolerance=BACKWARD)


def cached_attention_case(
    bench: Bench, *, length: int, offset: int, room: int, heads: Heads
) -> None:
    """New tokens go into the cache after `offset` older ones and see them all."""
    columns = heads.num_key_value_heads * heads.head_dim
    qkv = bench.normal(length, heads.width)
    older_k, older_v = bench.normal(room, columns), bench.normal(room, columns)
    k_cache, v_cache = bench.tensor("keys", older_k), bench.tensor("values", older_v)
    positions = bench.tensor("positions", (offset + np.arange(length)).astype(np.uint32))
    qkv_tensor = bench.tensor("qkv", qkv)
    bench.write(qkv_tensor, qkv, launch=1)  # queries were rotated in place
    table = bench.tensor("table", rope_table(offset + length, heads.head_dim, THETA))
    kv_append(bench.graph, qkv_tensor, positions, table, (k_cache, v_cache), heads)
    o, logsumexp = attention(
        bench.graph, qkv_tensor, positions, heads, num_sequences=1, cache=(k_cache, v_cache)
    )
    q, k, v = split_qkv(qkv, heads, 1)
    q, k = (_rotate(part, offset + np.arange(length)) for part in (q, k))
    keys, values = older_k.copy(), older_v.copy()
    keys[offset : offset + length] = k.reshape(length, columns)
    values[offset : offset + length] = v.reshape(length, columns)
    shape = (1, room, heads.num_key_value_heads, heads.head_dim)
    expected_o, expected_logsumexp = attention_twin.attention(
        q, keys.reshape(shape), values.reshape(shape), query_offset=offset
    )
    bench.expect("keys", k_cache, keys, tolerance=ELEMENTWISE)
    bench.expect("values", v_cache, values, tolerance=EXACT)
    bench.expect("o", o, expected_o.reshape(length, -1), tolerance=REDUCTION)
    bench.expect(
        "logsumexp", logsumexp, expected_logsumexp.reshape(length, -1), tolerance=REDUCTION
    )


def kv_append_case(bench: Bench, *, positions: tuple[int, ...], room: int, heads: Heads) -> None:
    """Positions in any order; those beyond the cache are dropped."""
    rows, columns = len(positions), heads.num_key_value_heads * heads.head_dim
    qkv = bench.normal(rows, heads.width)
    q, k, v = split_qkv(qkv, heads, 1)
    q, k = (_rotate(part, np.array(positions)) for part in (q, k))
    caches = []
    for name, new, tolerance in (("keys", k, ELEMENTWISE), ("values", v, EXACT)):
        cached = bench.normal(room, columns)
        tensor = bench.tensor(name, cached)
        expected = cached.copy()
        for position, row in zip(positions, new.reshape(rows, columns), strict=True):
            if position < room:
                expected[position] = row
        bench.expect(name, tensor, expected, tolerance=tolerance)
        caches.append(tensor)
    qkv_tensor = bench.tensor("qkv", qkv)
    bench.write(qkv_tensor, qkv, launch=1)  # queries were rotated in place
    kv_append(
        bench.graph,
        qkv_tensor,
        bench.tensor("positions", np.array(positions, np.uint32)),
        bench.tensor("table", rope_table(max(positions) + 1, heads.head_dim, THETA)),
        (caches[0], caches[1]),
        heads,
    )
    unchanged = qkv[:, heads.num_heads * heads.head_dim :]
    bench.expect(
        "qkv",
        qkv_tensor,
        np.concatenate([q.reshape(rows, -1), unchanged], axis=1),
        tolerance=ELEMENTWISE,
    )


def take_row_case(bench: Bench, *, rows: int, columns: int) -> None:
    """Another row at each launch."""
    x = bench.normal(rows, columns)
    row = bench.tensor("row", np.array([rows - 1], np.uint32))
    bench.write(row, np.array([0], np.uint32), launch=1)
    y = take_row(bench.graph, bench.tensor("x", x), row)
    bench.expect("y", y, x[-1:], x[:1], tolerance=EXACT)


def split_qkv(qkv: Array, heads: Heads, num_sequences: int) -> tuple[Array, Array, Array]:
    """Return q (B, S, H, D), k and v (B, S, HK, D)."""
    query = heads.num_heads * heads.head_dim
    key = heads.num_key_value_heads * heads.head_dim
    q, k, v = np.split(qkv, [query, query + key], axis=1)
    shape = (num_sequences, len(qkv) // num_sequences, -1, heads.head_dim)
    return q.reshape(shape), k.reshape(shape), v.reshape(shape)


def _rotate(heads: Array, positions: Array) -> Array:
    """Return queries or keys of one sequence, (1, S, heads, D), rotated."""
    return rope_twin.rope(heads[0], positions, theta=THETA)[None]
