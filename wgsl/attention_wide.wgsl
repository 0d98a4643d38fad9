// attention_wide — attention.wgsl with four queries an invocation: each key that is loaded serves four
// Operands, results and formula as in attention.wgsl, which GPUs use: four times the registers
// would spill there. On software adapters a load costs more than a spill, and this is 3 times as fast.
// Queries are named one by one and loops kept short because compilers unroll only such loops, and
// an array that is not unrolled lies in memory.
// Dispatch (⌈S/4/LANES⌉, H, B). Needs a head_dim_* prelude. Source: arXiv:2205.14135.

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
const QUERIES = 4u;

alias Row = array<vec4f, HEAD_QUADS>;

@compute @workgroup_size(LANES)
fn attention_wide(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {
  let first = group.x * LANES * QUERIES;
  let last_query = params.queries - 1u;
  let start_row = group.z * params.queries;
  // Queries past the end repeat the last one and are not stored.
  let query = vec4u(first + local.x) + vec4u(0u, 1u, 2u, 3u) * LANES;
  let row = start_row + min(query, vec4u(last_query));
  let position = vec4u(positions[row.x], positions[row.y], positions[row.z], positions[row.w]);
  let last_position = positions[start_row + min(first + LANES * QUERIES - 1u, last_query)];
  let stop = min(last_position + 1u, params.keys);
  let key_head = group.y / params.heads_per_key * HEAD_QUADS;

  var q0: Row; var q1: Row; var q2: Row; var q3: Row;
  var sum0: Row; var sum1: Row; var sum2: Row; var sum3: Row;
  let q_start = row * params.q_stride + group.y * HEAD_QUADS;
  for (var i = 0u; i < HEAD_QUADS; i++) { q0[i] = q[q_start.x + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) { q1[i] = q[q_start.y + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) { q2[i] = q[q_start.z + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) { q3[i] = q[q_start.w + i] * params.scale; }
  var largest = vec4f(LOWEST);
  var total = vec4f();
  for (var key = 0u; key < stop; key++) {
    let key_row = group.z * params.keys + key;
    let k_start = key_row * params.k_stride + params.k_offset + key_head;
    let v_start = key_row * params.v_stride + params.v_offset + key_head;
    var near: Row;   // the key, then the value
    var p0 = vec4f(); var p1 = vec4f(); var p2 = vec4f(); var p3 = vec4f();
    for (var i = 0u; i < HEAD_QUADS; i++) { near[i] = k[k_start + i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { p0 += q0[i] * near[i]; p1 += q1[i] * near[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { p2 += q2[i] * near[i]; p3 += q3[i] * near[i]; }
    let ones = vec4f(1.0);
    let products = vec4f(dot(p0, ones), dot(p1, ones), dot(p2, ones), dot(p3, ones));
    let is_seen = vec4u(key) <= position;
    let score = select(vec4f(LOWEST), products, is_seen);
    let raised = max(largest, score);
    let fade = exp(largest - raised);
    let share = select(vec4f(), exp(score - raised), is_seen);
    for (var i = 0u; i < HEAD_QUADS; i++) { near[i] = v[v_start + i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { sum0[i] = sum0[i] * fade.x + share.x * near[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { sum1[i] = sum1[i] * fade.y + share.y * near[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { sum2[i] = sum2[i] * fade.z + share.z * near[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { sum3[i] = sum3[i] * fade.w + share.w * near[i]; }
    total = total * fade + share;
    largest = raised;
  }
  let o_start = (row * params.heads + group.y) * HEAD_QUADS;
  let at = row * params.heads + group.y;
  let scaled = largest + log(total);
  if (query.x <= last_query) {
    for (var i = 0u; i < HEAD_QUADS; i++) { o[o_start.x + i] = sum0[i] / total.x; }
    logsumexp[at.x] = scaled.x;
  }
  if (query.y <= last_query) {
    for (var i = 0u; i < HEAD_QUADS; i++) { o[o_start.y + i] = sum1[i] / total.y; }
    logsumexp[at.y] = scaled.y;
  }
  if (query.z <= last_query) {
    for (var i = 0u; i < HEAD_QUADS; i++) { o[o_start.z + i] = sum2[i] / total.z; }
    logsumexp[at.z] = scaled.z;
  }
  if (query.w <= last_query) {
    for (var i = 0u; i < HEAD_QUADS; i++) { o[o_start.w + i] = sum3[i] / total.w; }
    logsumexp[at.w] = scaled.w;
  }
}
