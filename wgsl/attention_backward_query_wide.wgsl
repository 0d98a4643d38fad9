// attention_backward_query_wide — attention_backward_query.wgsl with four queries an invocation
// See attention_wide.wgsl for when it pays and why queries are named one by one.
// Dispatch (⌈S/4/LANES⌉, H, B). Needs a head_dim_* prelude and the query_gradient_* one.
// Source: arXiv:2307.08691, the two-kernel backward.

override LANES: u32 = 8;

const QUERIES = 4u;

alias Row = array<vec4f, HEAD_QUADS>;

// The sum of each vector's elements.
fn sums(a: vec4f, b: vec4f, c: vec4f, d: vec4f) -> vec4f {
  let ones = vec4f(1.0);
  return vec4f(dot(a, ones), dot(b, ones), dot(c, ones), dot(d, ones));
}

@compute @workgroup_size(LANES)
fn attention_backward_query_wide(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES * QUERIES;
  let last_query = params.queries - 1u;
  let start_row = group.z * params.queries;
  // Queries past the end repeat the last one and are not stored.
  let query = vec4u(first + local.x) + vec4u(0u, 1u, 2u, 3u) * LANES;
  let row = start_row + min(query, vec4u(last_query));
  let start = vec4u(first_visible(row.x), first_visible(row.y), first_visible(row.z), first_visible(row.w));
  let position = vec4u(last_visible(row.x), last_visible(row.y), last_visible(row.z), last_visible(row.w));
  let last = last_visible(start_row + min(first + LANES * QUERIES - 1u, last_query));
  let stop = min(last + 1u, params.queries);
  let key_head = group.y / params.heads_per_key * HEAD_QUADS;

  var q0: Row; var q1: Row; var q2: Row; var q3: Row;
  var up0: Row; var up1: Row; var up2: Row; var up3: Row;
  var sum0: Row; var sum1: Row; var sum2: Row; var sum3: Row;
  let q_start = row * params.stride + group.y * HEAD_QUADS;
  let o_start = (row * params.heads + group.y) * HEAD_QUADS;
  var p0 = vec4f(); var p1 = vec4f(); var p2 = vec4f(); var p3 = vec4f();
  for (var i = 0u; i < HEAD_QUADS; i++) { q0[i] = qkv[q_start.x + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) { q1[i] = qkv[q_start.y + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) { q2[i] = qkv[q_start.z + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) { q3[i] = qkv[q_start.w + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) {
    up0[i] = d_o[o_start.x + i];
    p0 += up0[i] * o[o_start.x + i];
  }
  for (var i = 0u; i < HEAD_QUADS; i++) {
    up1[i] = d_o[o_start.y + i];
    p1 += up1[i] * o[o_start.y + i];
  }
  for (var i = 0u; i < HEAD_QUADS; i++) {
    up2[i] = d_o[o_start.z + i];
    p2 += up2[i] * o[o_start.z + i];
  }
  for (var i = 0u; i < HEAD_QUADS; i++) {
    up3[i] = d_o[o_start.w + i];
    p3 += up3[i] * o[o_start.w + i];
  }
  let own_delta = sums(p0, p1, p2, p3);
  let at = row * params.heads + group.y;
  let shift = vec4f(logsumexp[at.x], logsumexp[at.y], logsumexp[at.z], logsumexp[at.w]);
  for (var key = first_visible(start_row + first); key < stop; key++) {
    let k_start = (start_row + key) * params.stride + key_head + params.k_offset;
    let v_start = (start_row + key) * params.stride + key_head + params.v_offset;
    var key_row: Row;
    var value_row: Row;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var g0 = vec4f(); var g1 = vec4f(); var g2 = vec4f(); var g3 = vec4f();
    for (var i = 0u; i < HEAD_QUADS; i++) { key_row[i] = qkv[k_start + i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { value_row[i] = qkv[v_start + i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { s0 += q0[i] * key_row[i]; s1 += q1[i] * key_row[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { s2 += q2[i] * key_row[i]; s3 += q3[i] * key_row[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { g0 += up0[i] * value_row[i]; g1 += up1[i] * value_row[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { g2 += up2[i] * value_row[i]; g3 += up3[i] * value_row[i]; }
    // A key a query does not see may score far above logsumexp: no overflow before it is dropped.
    let share = exp(min(sums(s0, s1, s2, s3) - shift, vec4f()));
    let gain = sums(g0, g1, g2, g3) - own_delta;
    let is_seen = (vec4u(key) >= start) & (vec4u(key) <= position);
    let slope = select(vec4f(), share * gain, is_seen);
    for (var i = 0u; i < HEAD_QUADS; i++) { sum0[i] += slope.x * key_row[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { sum1[i] += slope.y * key_row[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { sum2[i] += slope.z * key_row[i]; }
    for (var i = 0u; i < HEAD_QUADS; i++) { sum3[i] += slope.w * key_row[i]; }
  }
  if (query.x <= last_query) {
    for (var i = 0u; i < HEAD_QUADS; i++) { d_qkv[q_start.x + i] = sum0[i] * params.scale; }
    delta[at.x] = own_delta.x;
  }
  if (query.y <= last_query) {
    for (var i = 0u; i < HEAD_QUADS; i++) { d_qkv[q_start.y + i] = sum1[i] * params.scale; }
    delta[at.y] = own_delta.y;
  }
  if (query.z <= last_query) {
    for (var i = 0u; i < HEAD_QUADS; i++) { d_qkv[q_start.z + i] = sum2[i] * params.scale; }
    delta[at.z] = own_delta.z;
  }
  if (query.w <= last_query) {
    for (var i = 0u; i < HEAD_QUADS; i++) { d_qkv[q_start.w + i] = sum3[i] * params.scale; }
    delta[at.w] = own_delta.w;
  }
}
