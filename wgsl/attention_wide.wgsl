// attention_wide — attention.wgsl with four queries an invocation: each key that is loaded serves four
// For software adapters, where a load costs more than a spill: 3 times as fast there. On a GPU four
// times the registers would spill.
// Queries are named one by one and loops kept short because compilers unroll only such loops, and
// an array that is not unrolled lies in memory.
// Dispatch (⌈S/4/LANES⌉, H, B). Needs a head_dim_* prelude and the attend_* one.
// Source: arXiv:2205.14135.

override LANES: u32 = 8;

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
  let start = vec4u(first_visible(row.x), first_visible(row.y), first_visible(row.z), first_visible(row.w));
  let position = vec4u(last_visible(row.x), last_visible(row.y), last_visible(row.z), last_visible(row.w));
  let last_position = last_visible(start_row + min(first + LANES * QUERIES - 1u, last_query));
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
  for (var key = first_visible(start_row + first); key < stop; key++) {
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
    let is_seen = (vec4u(key) >= start) & (vec4u(key) <= position);
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
