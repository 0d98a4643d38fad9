// attention_backward_key_wide — attention_backward_key.wgsl with two keys an invocation
// See attention_wide.wgsl for when it pays and why keys are named one by one.
// Dispatch (⌈S/2/LANES⌉, HK, B). Needs a head_dim_* prelude and the key_gradient_* one.
// Source: arXiv:2307.08691, the two-kernel backward.

override LANES: u32 = 8;

const KEYS = 2u;

alias Row = array<vec4f, HEAD_QUADS>;

@compute @workgroup_size(LANES)
fn attention_backward_key_wide(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES * KEYS;
  let last_key = params.queries - 1u;
  let start_row = group.z * params.queries;
  // Keys past the end repeat the last one and are not stored.
  let key = vec2u(first + local.x) + vec2u(0u, 1u) * LANES;
  let read_key = min(key, vec2u(last_key));
  let key_start = (start_row + read_key) * params.stride + group.y * HEAD_QUADS;

  var k0: Row; var k1: Row;
  var v0: Row; var v1: Row;
  var d_k0: Row; var d_k1: Row;
  var d_v0: Row; var d_v1: Row;
  for (var i = 0u; i < HEAD_QUADS; i++) { k0[i] = qkv[key_start.x + params.k_offset + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) { v0[i] = qkv[key_start.x + params.v_offset + i]; }
  for (var i = 0u; i < HEAD_QUADS; i++) { k1[i] = qkv[key_start.y + params.k_offset + i] * params.scale; }
  for (var i = 0u; i < HEAD_QUADS; i++) { v1[i] = qkv[key_start.y + params.v_offset + i]; }
  for (var member = 0u; member < params.heads_per_key; member++) {
    let head = group.y * params.heads_per_key + member;
    for (var query = first; query < params.queries; query++) {
      let row = start_row + query;
      if (first_visible(row) >= first + LANES * KEYS) { break; }   // a later part
      let q_start = row * params.stride + head * HEAD_QUADS;
      let o_start = (row * params.heads + head) * HEAD_QUADS;
      var query_row: Row;
      var upstream: Row;
      var s0 = vec4f(); var s1 = vec4f(); var g0 = vec4f(); var g1 = vec4f();
      for (var i = 0u; i < HEAD_QUADS; i++) { query_row[i] = qkv[q_start + i]; }
      for (var i = 0u; i < HEAD_QUADS; i++) { upstream[i] = d_o[o_start + i]; }
      for (var i = 0u; i < HEAD_QUADS; i++) { s0 += k0[i] * query_row[i]; s1 += k1[i] * query_row[i]; }
      for (var i = 0u; i < HEAD_QUADS; i++) { g0 += v0[i] * upstream[i]; g1 += v1[i] * upstream[i]; }
      let at = row * params.heads + head;
      let ones = vec4f(1.0);
      let score = vec2f(dot(s0, ones), dot(s1, ones)) - logsumexp[at];
      let gain = vec2f(dot(g0, ones), dot(g1, ones)) - delta[at];
      // min: an unseen score may lie far above logsumexp, and select evaluates both sides.
      let is_seen = (read_key >= vec2u(first_visible(row))) & (read_key <= vec2u(last_visible(row)));
      let share = select(vec2f(), exp(min(score, vec2f())), is_seen);
      let slope = share * gain;
      for (var i = 0u; i < HEAD_QUADS; i++) { d_v0[i] += share.x * upstream[i]; }
      for (var i = 0u; i < HEAD_QUADS; i++) { d_v1[i] += share.y * upstream[i]; }
      for (var i = 0u; i < HEAD_QUADS; i++) { d_k0[i] += slope.x * query_row[i]; }
      for (var i = 0u; i < HEAD_QUADS; i++) { d_k1[i] += slope.y * query_row[i]; }
    }
  }
  if (key.x <= last_key) {
    for (var i = 0u; i < HEAD_QUADS; i++) {
      d_qkv[key_start.x + params.k_offset + i] = d_k0[i] * params.scale;
      d_qkv[key_start.x + params.v_offset + i] = d_v0[i];
    }
  }
  if (key.y <= last_key) {
    for (var i = 0u; i < HEAD_QUADS; i++) {
      d_qkv[key_start.y + params.k_offset + i] = d_k1[i] * params.scale;
      d_qkv[key_start.y + params.v_offset + i] = d_v1[i];
    }
  }
}
