// attention — o = softmax(q·kᵀ/√D, causal)·v with an online softmax; scores are never stored
// q (B·S, …) H heads · k, v (B·KEYS, …) HK heads, H/HK query heads share one · positions (B·S)
// → o (B·S, H·D), logsumexp (B·S, H; saved for backward), f32
// A query at position p sees keys 0..p of its sequence. q, k and v may lie in one array: strides
// and offsets count vec4s. Dispatch (⌈S/LANES⌉, H, B): an invocation owns one query of one head
// in registers; all of a workgroup read the same key at a time.
// Needs a head_dim_* prelude. Source: arXiv:2205.14135.

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> logsumexp: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

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

override LANES: u32 = 8;

const LOWEST = -3.4e38;   // WGSL may assume that there are no infinities

@compute @workgroup_size(LANES)
fn attention(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {
  let first = group.x * LANES;
  let last_query = params.queries - 1u;
  let query = min(first + local.x, last_query);
  let row = group.z * params.queries + query;
  let position = positions[row];
  let last_position = positions[group.z * params.queries + min(first + LANES - 1u, last_query)];
  let stop = min(last_position + 1u, params.keys);
  let key_head = group.y / params.heads_per_key * HEAD_QUADS;

  var query_row: array<vec4f, HEAD_QUADS>;
  var sum: array<vec4f, HEAD_QUADS>;
  let q_start = row * params.q_stride + group.y * HEAD_QUADS;
  for (var i = 0u; i < HEAD_QUADS; i++) {
    query_row[i] = q[q_start + i] * params.scale;
    sum[i] = vec4f();
  }
  var largest = LOWEST;
  var total = 0.0;
  for (var key = 0u; key < stop; key++) {
    let key_row = group.z * params.keys + key;
    let k_start = key_row * params.k_stride + params.k_offset + key_head;
    let v_start = key_row * params.v_stride + params.v_offset + key_head;
    var products = vec4f();
    for (var i = 0u; i < HEAD_QUADS; i++) { products += query_row[i] * k[k_start + i]; }
    let score = select(LOWEST, dot(products, vec4f(1.0)), key <= position);
    let raised = max(largest, score);
    let fade = exp(largest - raised);
    let share = select(0.0, exp(score - raised), key <= position);
    for (var i = 0u; i < HEAD_QUADS; i++) { sum[i] = sum[i] * fade + share * v[v_start + i]; }
    total = total * fade + share;
    largest = raised;
  }
  if (first + local.x > last_query) { return; }
  let o_start = (row * params.heads + group.y) * HEAD_QUADS;
  for (var i = 0u; i < HEAD_QUADS; i++) { o[o_start + i] = sum[i] / total; }
  logsumexp[row * params.heads + group.y] = largest + log(total);
}
