// Prelude: what forward attention binds.
// q (B·S, …) H heads · k, v (B·KEYS, …) HK heads, H/HK query heads share one · positions (B·S)
// → o (B·S, H·D), logsumexp (B·S, H; saved for the backward), f32
// A query at position p sees the keys start..start + p of its sequence; start is 0, or that of its
// part where a sequence holds several. Both never fall along a sequence's rows within a part, and
// parts follow each other. q, k and v may lie in one array: strides and offsets count vec4s.

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> logsumexp: array<f32>;
@group(0) @binding(6) var<storage, read> starts: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

struct Params {
  queries: u32,          // S
  keys: u32,             // keys a sequence has room for
  heads: u32,            // H
  heads_per_key: u32,    // H / HK
  q_stride: u32,
  k_stride: u32,
  k_offset: u32,
  v_stride: u32,
  v_offset: u32,
  scale: f32,            // 1/√D
}

const LOWEST = -3.4e38;   // WGSL may assume that there are no infinities

override HAS_STARTS: u32 = 0;   // else sequences are not divided and any array is bound as starts

// The first and the last key of its sequence that the query of a row sees.
fn first_visible(row: u32) -> u32 { return select(0u, starts[row], HAS_STARTS == 1u); }

fn last_visible(row: u32) -> u32 { return first_visible(row) + positions[row]; }
