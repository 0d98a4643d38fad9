"""Causal grouped-query attention (arXiv:2305.13245), softmax over all visible keys."""

from __future__ import annotations

import numpy as np

from app.reference.arrays import Float64Array, IntArray, RealArray, as_float64


def attention(
    q: RealArray,
    k: RealArray,
    v: RealArray,
    *,
    query_offset: int = 0,
    starts: IntArray | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Each query takes the mean of the values it sees, weighted by softmax of its scores.

    o[i] = Σⱼ p[i,j] · v[j],  p[i,j] = exp(s[i,j] - logsumexp[i]),
    s[i,j] = q[i]·k[j] / √D,  logsumexp[i] = log Σⱼ exp(s[i,j]),  j ≤ query_offset + i

    Query head h reads key/value head h // (H / HK).

    Args:
        q: (B, S, H, D) queries, after RoPE.
        k: (B, S_kv, HK, D) keys, after RoPE; H is a multiple of HK.
        v: (B, S_kv, HK, D) values.
        query_offset: Position of the first query among the keys (0 when there is no cache);
            query i sees keys 0 to query_offset + i.
        starts: (B, S), the first key each query sees: where its part of the sequence begins.
            None is 0 everywhere.

    Returns:
        o, (B, S, H, D), and logsumexp, (B, S, H), needed by `attention_backward`.
    """
    scores = _scores(q, k, query_offset, starts)
    largest = scores.max(axis=-1, keepdims=True)
    with np.errstate(under="ignore"):
        weights = np.exp(scores - largest)
    total = weights.sum(axis=-1, keepdims=True)
    o = np.einsum("bhij,bjhd->bihd", weights / total, _repeat_heads(v, q.shape[2]), optimize=True)
    return o, (largest + np.log(total))[..., 0].transpose(0, 2, 1)


def attention_backward(
    do: RealArray,
    q: RealArray,
    k: RealArray,
    v: RealArray,
    o: RealArray,
    logsumexp: RealArray,
    *,
    starts: IntArray | None = None,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Gradients of `attention` (query_offset 0) with respect to q, k and v.

    dp[i,j] = do[i]·v[j],  delta[i] = do[i]·o[i],  ds[i,j] = p[i,j] · (dp[i,j] - delta[i])
    dq[i] = Σⱼ ds[i,j]·k[j] / √D,  dk[j] = Σᵢ ds[i,j]·q[i] / √D,  dv[j] = Σᵢ p[i,j]·do[i]

    dk and dv are summed over the query heads that share a key/value head.

    Args:
        do: (B, S, H, D), gradient of o.
        q: (B, S, H, D).
        k: (B, S, HK, D).
        v: (B, S, HK, D).
        o: (B, S, H, D), as returned by `attention`.
        logsumexp: (B, S, H), as returned by `attention`.
        starts: (B, S), as in `attention`.

    Returns:
        dq, dk and dv, shaped like q, k and v.
    """
    do, q = as_float64(do), as_float64(q)
    num_heads, head_dim = q.shape[2:]
    scale = 1 / np.sqrt(head_dim)
    with np.errstate(under="ignore"):
        row_logsumexp = as_float64(logsumexp).transpose(0, 2, 1)[..., None]
        weights = np.exp(_scores(q, k, 0, starts) - row_logsumexp)
    delta = np.sum(do * as_float64(o), axis=-1).transpose(0, 2, 1)[..., None]
    dweights = np.einsum("bihd,bjhd->bhij", do, _repeat_heads(v, num_heads), optimize=True)
    dscores = weights * (dweights - delta)
    dq = np.einsum("bhij,bjhd->bihd", dscores, _repeat_heads(k, num_heads), optimize=True) * scale
    dk = np.einsum("bhij,bihd->bjhd", dscores, q, optimize=True) * scale
    dv = np.einsum("bhij,bihd->bjhd", weights, do, optimize=True)
    return dq, _sum_heads(dk, k.shape[2]), _sum_heads(dv, v.shape[2])


def _scores(q: RealArray, k: RealArray, query_offset: int, starts: IntArray | None) -> Float64Array:
    """Return scaled scores (B, H, S, S_kv), -inf where the query does not see the key."""
    q = as_float64(q)
    keys = _repeat_heads(k, q.shape[2])
    scores = np.einsum("bihd,bjhd->bhij", q, keys, optimize=True) / np.sqrt(q.shape[-1])
    query_positions = query_offset + np.arange(q.shape[1])
    visible = np.arange(keys.shape[1]) <= query_positions[:, None]
    if starts is not None:
        visible = visible & (np.arange(keys.shape[1]) >= starts[:, None, :, None])
    return np.where(visible, scores, -np.inf)


def _repeat_heads(x: RealArray, num_heads: int) -> Float64Array:
    return np.repeat(as_float64(x), num_heads // x.shape[2], axis=2)


def _sum_heads(x: Float64Array, num_key_value_heads: int) -> Float64Array:
    batch, length, _, head_dim = x.shape
    groups = x.reshape(batch, length, num_key_value_heads, -1, head_dim)
    return np.asarray(groups.sum(axis=3))
